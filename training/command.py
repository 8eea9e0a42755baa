"""What the commands share: a user's mistake is one clear line and exit status 2, not a traceback."""

import errno
import sys
from collections.abc import Callable

from skin_gradio.models import ModelError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """Something that whoever started a command can put right; the message says what."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command; end with status 2 and one line where the user made a mistake or the disk is full."""
    try:
        main()
    except (UserError, ModelError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        what = error.filename or "what it writes"
        print(f"error: there is no room for {what}: {error.strerror}. Make some and run it again.", file=sys.stderr)
        sys.exit(2)
