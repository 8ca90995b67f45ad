"""The yardstick: MobileNetV2 fine-tuned as most tutorials do it, to see what the default model's care is worth.

It reaches the highest figures on randomly held-out patients, and leans on how the images were acquired.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.preprocessing import Preprocessing
from ml.recipe import ONE_LOGIT, Recipe, Stage

AUGMENTATION = v2.Compose([v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])

RECIPE = Recipe(
    name="mobilenet_v2_plain",
    version="1.0",
    architecture="mobilenet_v2",
    outputs=ONE_LOGIT,
    preprocessing=Preprocessing(size=224),
    augmentation=AUGMENTATION,
    stages=(Stage(epochs=6, frozen_blocks=0, backbone_learning_rate=3e-4, head_learning_rate=1e-3),),
    batch_size=32,
    loss="bce",
    schedule="cosine",
    warmup_epochs=0.5,
    keep="val_auc",
    sensitivity=0.96,
)
