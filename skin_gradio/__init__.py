"""Classify dermatoscopic pictures of skin lesions and serve the answer on a Gradio page."""

__version__ = "0.1.0"
