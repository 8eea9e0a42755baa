"""ViT-Base (16 x 16 patches, 224 px) in transformers' image-classification pipeline, one picture at a time.

    python benchmarks/rivals/vit_pipeline.py FILE.jpg ...

Its weights are random: that changes what it answers, not how long it takes. Prints pictures per second and the most
memory, MB, as JSON.
"""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from one_at_a_time import report
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, pipeline

model = ViTForImageClassification(ViTConfig(num_labels=7)).eval()
classify = pipeline("image-classification", model=model, image_processor=ViTImageProcessor())

report(classify, sys.argv[1:])
