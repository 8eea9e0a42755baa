"""Classify dermatoscopic pictures of skin lesions and serve the answer on a Gradio page."""

import os

# ONNX Runtime reads this when it is imported; from 1.29 on it reports sessions and models to its makers otherwise.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
