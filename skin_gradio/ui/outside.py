"""Keeps Gradio from fetching what a request names.

Where a request names an address instead of an uploaded file, Gradio downloads it, of whatever size, from any public
host; so it does, to pass it on, where a browser asks it for `file=` and an address. This page calls no other host for
anybody. An address on this server, as MCP clients give it after an upload, means the uploaded file.
"""

from typing import NoReturn
from urllib.parse import unquote

import gradio as gr
from fastapi import HTTPException, Request
from gradio import processing_utils, routes

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


async def pass_nothing_on(url: str, request: Request) -> NoReturn:
    """Refuse to fetch an address for a browser.

    Takes the place, and hence the arguments, of Gradio's function for that. Raises HTTPException: forbidden.
    """
    raise HTTPException(403, NOT_FETCHED)


def fetch_nothing() -> None:
    """Make this process' Gradio use these two wherever it would fetch what a request names."""
    processing_utils.async_ssrf_protected_download = own_file
    routes.secure_url_stream_response = pass_nothing_on
