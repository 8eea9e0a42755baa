"""Open the page.

    python app.py
    python app.py --model user/repository@revision --engine keras --share

A Hugging Face Space runs this file as it is; there the environment takes the place of the flags.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from typing import get_args

import tyro

from skin_gradio.classifier import Classifier
from skin_gradio.engines import EngineName, open_engine
from skin_gradio.models import DEFAULT_MODEL, ModelError, find_model


@dataclass(frozen=True)
class AppCommand:
    """Open the page on a model. Research and education only; not a medical device."""

    model: str = DEFAULT_MODEL
    """A bundled model's name, a model folder, or a Hugging Face Hub id (user/repository[@revision]); or SKIN_MODEL."""
    engine: EngineName = "auto"
    """What runs the model: onnx (CPU), keras (JAX or TensorFlow), auto (keras on a GPU, else onnx); or SKIN_ENGINE."""
    share: bool = False
    """Also open a public link for a week, through Gradio's server."""
    host: str | None = None
    """Address to listen on, 0.0.0.0 for all; or GRADIO_SERVER_NAME. This machine only when neither is given."""
    port: int | None = None
    """Port to listen on; or GRADIO_SERVER_PORT. The first free one from 7860 when neither is given."""


def command_from_environment() -> AppCommand:
    """Return the command that the environment asks for; flags override it.

    Raises ModelError when SKIN_ENGINE names no engine.
    """
    wanted = os.environ.get("SKIN_ENGINE", "auto")
    engine: EngineName | None = next((name for name in get_args(EngineName) if name == wanted), None)
    if engine is None:
        raise ModelError(f"SKIN_ENGINE must be one of {', '.join(get_args(EngineName))}. Received: {wanted!r}")
    return AppCommand(model=os.environ.get("SKIN_MODEL", DEFAULT_MODEL), engine=engine)


def open_classifier(command: AppCommand) -> Classifier:
    """Return the classifier for the model and engine that were asked for.

    Raises ModelError when the model cannot be used.
    """
    model = find_model(command.model)
    return Classifier(model, open_engine(model, command.engine))


def main() -> int:
    """Open the page and serve it until interrupted; return the exit status: 2 when it could not be opened."""
    try:
        command = tyro.cli(AppCommand, default=command_from_environment())
        classifier = open_classifier(command)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Gradio reads these when it is imported. Nothing may leave this machine, and uploads end with the program.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="skin-uploads-")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
    for name in ("SIGTERM", "SIGHUP"):  # a stopped server or a closed terminal; Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(0))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the address shows at once in a log, too
    from skin_gradio.ui.page import build_page, launch_options

    try:
        build_page(classifier).launch(
            share=command.share, server_name=command.host, server_port=command.port, **launch_options()
        )
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
