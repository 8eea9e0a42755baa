"""Keeps Gradio from fetching what a request names.

Where a request names an address instead of an uploaded file, Gradio downloads it, of whatever size, from any public
host. This page calls no other host for anybody. An address on this server, as MCP clients give it after an upload,
means the uploaded file.
"""

from urllib.parse import unquote

import gradio as gr
from gradio import processing_utils

from skin_gradio.ui.dropzone import uploaded_path

NOT_FETCHED = "This server fetches nothing from other addresses: upload the file (POST /gradio_api/upload) first."
_FILE_ROUTE = "/gradio_api/file="


async def own_file(url: str, cache_dir: str) -> str:
    """Return the path of the uploaded file that an address on this server means.

    Takes the place, and hence the arguments, of Gradio's download function. Raises gr.Error for any other address.
    """
    path = uploaded_path(unquote(url.partition(_FILE_ROUTE)[2]))
    if path is None:
        raise gr.Error(NOT_FETCHED, print_exception=False)
    return str(path)


def fetch_nothing() -> None:
    """Make this process' Gradio use `own_file` wherever it would download what a request names."""
    processing_utils.async_ssrf_protected_download = own_file
