"""ViT-Base (16 x 16 patches, 224 px) in transformers' image-classification pipeline, one picture at a time.

    python benchmarks/rivals/vit_pipeline.py FILE.jpg ...

Its weights are random: that changes what it answers, not how long it takes. Prints pictures per second and the most
memory, MB, as JSON.
"""

import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, pipeline

model = ViTForImageClassification(ViTConfig(num_labels=7)).eval()
classify = pipeline("image-classification", model=model, image_processor=ViTImageProcessor())

files = sys.argv[1:]
classify(files[0])
start = time.perf_counter()
for file in files:
    classify(file)
rate = len(files) / (time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps({"per_second": rate, "peak_mb": peak}))
