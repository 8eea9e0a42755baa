"""Gradio is imported without what the page has no use for; each import is looked at in a process of its own."""

import importlib.util
import subprocess
import sys

import pytest

BLOCKS = """
import sys
stubs = []
sys.addaudithook(lambda event, arguments: event == "open" and str(arguments[0]).endswith(".pyi") and stubs.append(1))
"""
USE = """
import gradio as gr
with gr.Blocks() as page:
    gr.Button().click(lambda: None, None, gr.HTML())
print(len(stubs), *(name for name, module in sys.modules.items() if module))
"""


def imported(how):
    """How often a process that imports and uses Gradio opens a type stub, and all that it imports."""
    done = subprocess.run([sys.executable, "-c", BLOCKS + how + USE], capture_output=True, text=True, check=True)
    stubs, *modules = done.stdout.split()
    return int(stubs), set(modules)


def test_no_type_stub_is_read_or_written_and_no_unused_package_imported():
    stubs, modules = imported(
        "from skin_gradio.ui.gradio_import import UNUSED, import_gradio; import_gradio((*UNUSED, 'mcp'))"
    )
    assert stubs == 0
    assert "gradio.components.html" in modules
    assert not {"IPython", "matplotlib", "pyarrow", "mcp"} & modules


def test_without_this_gradio_does_read_type_stubs():
    stubs, _ = imported("")
    assert stubs > 0


def test_a_package_that_is_wanted_stays_importable():
    if importlib.util.find_spec("mcp") is None:
        pytest.skip("mcp is not installed")
    _, modules = imported("from skin_gradio.ui.gradio_import import import_gradio; import_gradio(); import mcp")
    assert "mcp" in modules


def test_a_package_that_is_imported_already_is_left_alone():
    _, modules = imported(
        "import json; from skin_gradio.ui.gradio_import import import_gradio; import_gradio(['json']); import json"
    )
    assert "json" in modules
