"""Open the page.

    python app.py
    python app.py --model user/repository@revision --engine keras --share

A Hugging Face Space runs this file as it is; there the environment takes the place of the flags.
"""

import atexit
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import tyro

from skin_gradio.classifier import Classifier
from skin_gradio.engines import EngineName, open_safely
from skin_gradio.models import DEFAULT_MODEL, Choice, ModelError, find_model

Models = Literal["auto", "any", "bundled"]
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class AppCommand:
    """Open the page on a model. Research and education only; not a medical device."""

    model: str = DEFAULT_MODEL
    """A bundled model's name, a model folder, or a Hugging Face Hub id (user/repository[@revision]); or SKIN_MODEL."""
    engine: EngineName = "auto"
    """What runs the model: onnx (CPU), keras (JAX or TensorFlow), auto (keras on a GPU, else onnx); or SKIN_ENGINE."""
    models: Models = "auto"
    """Which models visitors may choose: bundled; any, so that they can name a folder on this machine or a Hub id; auto:
    any while only this machine can open the page, else bundled; or SKIN_MODELS."""
    share: bool = False
    """Also open a public link for a week, through Gradio's server."""
    host: str | None = None
    """Address to listen on, 0.0.0.0 for all; or GRADIO_SERVER_NAME. This machine only when neither is given."""
    port: int | None = None
    """Port to listen on; or GRADIO_SERVER_PORT. The first free one from 7860 when neither is given."""
    mcp: bool = False
    """Also serve the endpoints as tools of an MCP server (needs the mcp extra); or GRADIO_MCP_SERVER=True."""


def command_from_environment() -> AppCommand:
    """Return the command that the environment asks for; flags override it.

    Raises ModelError when SKIN_ENGINE or SKIN_MODELS names none of its choices.
    """
    return AppCommand(
        model=os.environ.get("SKIN_MODEL", DEFAULT_MODEL),
        engine=_from_environment("SKIN_ENGINE", get_args(EngineName)),
        models=_from_environment("SKIN_MODELS", get_args(Models)),
        mcp=os.environ.get("GRADIO_MCP_SERVER", "").lower() == "true",
    )


def _from_environment(variable: str, choices: Sequence[str]) -> Any:
    wanted = os.environ.get(variable, "auto")
    if wanted not in choices:
        raise ModelError(f"{variable} must be one of {', '.join(choices)}. Received: {wanted!r}")
    return wanted


def visitors_choice(command: AppCommand) -> Choice:
    """Return which models visitors may open: what the command says, and where it leaves that open, by who they can be.

    Whoever names a folder or a Hub id makes this machine read, fetch and run it; so strangers do not by default.
    """
    if command.models != "auto":
        return command.models
    host = command.host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    alone = host in THIS_MACHINE and not command.share and os.environ.get("SYSTEM") != "spaces"
    return "any" if alone else "bundled"


def open_classifier(command: AppCommand) -> Classifier:
    """Return the classifier for the model and engine that were asked for.

    Raises ModelError when the model cannot be used.
    """
    model = find_model(command.model)
    return Classifier(model, open_safely(model, command.engine))


def can_serve_mcp() -> bool:
    """Say whether what an MCP server needs is installed."""
    return importlib.util.find_spec("mcp") is not None


def main() -> int:
    """Open the page and serve it until interrupted; return the exit status: 2 when it could not be opened."""
    try:
        command = tyro.cli(AppCommand, default=command_from_environment())
        if command.mcp and not can_serve_mcp():
            raise ModelError('--mcp needs the package mcp: pip install "gradio[mcp]"')
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
    from skin_gradio.ui.gradio_import import UNUSED, import_gradio

    import_gradio(UNUSED if command.mcp else (*UNUSED, "mcp"))
    from skin_gradio.ui.page import build_page, launch_options

    try:
        build_page(
            classifier, command.engine, visitors_choice(command), uploads=Path(os.environ["GRADIO_TEMP_DIR"])
        ).launch(
            share=command.share,
            server_name=command.host,
            server_port=command.port,
            mcp_server=command.mcp,
            **launch_options(),
        )
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
