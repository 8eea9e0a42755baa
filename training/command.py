"""What the commands share: a user's mistake is one clear line and exit status 2, not a traceback."""

import sys
from collections.abc import Callable

from skin_gradio.models import ModelError


class UserError(ValueError):
    """Something that whoever started a command can put right; the message says what."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command; end with status 2 and one line where the user made a mistake."""
    try:
        main()
    except (UserError, ModelError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
