"""Tries a model that a stranger made in a child process, which may crash, hang or fill the memory in the page's place.

A `.keras` file that asks for a layer of two thousand million units aborts the process that opens it, and a small ONNX
file can ask for any amount of time and memory; neither can be told by looking at the file.
"""

import os
import subprocess
import sys
from pathlib import Path

from skin_gradio.models import ModelError, ModelFolder, read_folder

SECONDS = 300.0
"""How long the child may take; Keras and its backend need half a minute to start, and more on a busy machine."""
MEMORY_BYTES = 4 * 2**30
"""How much memory the child may have. Kept on Linux; elsewhere only the time is limited."""
_REFUSED = 3
_MAX_REASON = 1000
_ROOT = Path(__file__).resolve().parent.parent


def probe(model: ModelFolder, engine: str) -> None:
    """Open a model in a child process and let it answer a blank picture.

    Args:
        model: a verified model folder.
        engine: the name of the engine, as `skin_gradio.engines.open_engine` takes it.

    Raises ModelError when the child refuses the model, crashes, or needs more than SECONDS or MEMORY_BYTES.
    """
    command = [sys.executable, "-m", "skin_gradio.probe", str(model.path.resolve()), engine, str(MEMORY_BYTES)]
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unsafe(model, f"it did not answer a blank picture within {SECONDS:.0f} seconds.") from None
    if done.returncode == _REFUSED:
        raise _unsafe(model, done.stdout.decode("utf-8", "replace")[-_MAX_REASON:].strip())
    if done.returncode:
        limit = f"{MEMORY_BYTES / 2**30:.0f} GB"
        raise _unsafe(model, f"the process that tried it crashed; it may want more than {limit} of memory.")


def _unsafe(model: ModelFolder, reason: str) -> ModelError:
    return ModelError(f"{model.key} cannot be opened safely: {reason}")


def _environment() -> dict[str, str]:
    """Return the child's environment: this package can be imported, and a GPU that the page uses is left alone."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, wanted in ((resource.RLIMIT_DATA, size), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(limit)
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(limit, (allowed, allowed))


def main(folder: str, engine: str, memory: str) -> int:
    """Be the child: open the folder's model and answer a blank picture; return the exit status."""
    from skin_gradio.engines import open_engine

    _limit_memory(int(memory))
    try:
        open_engine(read_folder(Path(folder)), engine)  # type: ignore[arg-type]
    except (ModelError, MemoryError) as error:
        print(str(error) or "it wants too much memory.", flush=True)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
