"""ResNet34 on PyTorch behind gr.Interface, answering with the mean of four views, as such demos are usually built.

    python benchmarks/rivals/resnet34_interface.py --port 7862

The network is torchvision's resnet34 layer for layer (21,288,263 parameters with seven classes), made by transformers
so that torchvision is not needed. Its weights are random: that changes what it answers, not how long it takes.
"""

import gradio as gr
import numpy as np
import torch
import tyro
from PIL import Image
from transformers import ResNetConfig, ResNetForImageClassification

SIZE = 224
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MEAN, SPREAD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)

layout = ResNetConfig(
    layer_type="basic", depths=[3, 4, 6, 3], hidden_sizes=[64, 128, 256, 512], num_labels=len(CLASSES)
)
model = ResNetForImageClassification(layout).eval()


def classify(picture: Image.Image) -> dict[str, float]:
    """Return the mean probabilities of a picture and its three mirror images."""
    pixels = (np.asarray(picture.convert("RGB").resize((SIZE, SIZE)), np.float32) / 255 - MEAN) / SPREAD
    views = np.stack([pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        probabilities = model(torch.from_numpy(np.ascontiguousarray(views))).logits.softmax(1).mean(0)
    return dict(zip(CLASSES, probabilities.tolist(), strict=True))


def serve(host: str = "127.0.0.1", port: int = 7862) -> None:
    """Serve the page.

    Args:
        host: address to listen on.
        port: port to listen on.
    """
    page = gr.Interface(classify, gr.Image(type="pil"), gr.Label(), flagging_mode="never", api_name="classify")
    page.launch(server_name=host, server_port=port, quiet=True)


if __name__ == "__main__":
    tyro.cli(serve)
