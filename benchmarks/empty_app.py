"""A Gradio app whose /classify takes an uploaded picture and does nothing: what a request costs before any work.

python benchmarks/empty_app.py --port 7861
"""

from typing import Any

import gradio as gr
import tyro
from gradio import FileData


def nothing(picture: FileData) -> dict[str, Any]:
    """Return nothing of a picture.

    Args:
        picture: what was uploaded.
    """
    return {}


def serve(host: str = "127.0.0.1", port: int = 7861) -> None:
    """Serve the empty endpoint.

    Args:
        host: address to listen on.
        port: port to listen on.
    """
    with gr.Blocks() as page:
        gr.api(nothing, api_name="classify", concurrency_limit=4)
    page.launch(server_name=host, server_port=port, quiet=True)


if __name__ == "__main__":
    tyro.cli(serve)
