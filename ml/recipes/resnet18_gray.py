"""RSNA Pneumonia Challenge on a ResNet-18 that reads one grey channel and answers with one logit.

Published: validation AUROC 0.913. From ImageNet weights the first convolution becomes the sum over its three channels.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.preprocessing import Preprocessing
from ml.recipe import ONE_LOGIT, Recipe, Stage

AUGMENTATION = v2.Compose([
    v2.RandomHorizontalFlip(),
    v2.RandomAffine(7, (0.05, 0.05), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
    v2.ColorJitter(brightness=0.15, contrast=0.15),
    v2.ToDtype(torch.float32, scale=True),
])  # fmt: skip

RECIPE = Recipe(
    name="resnet18_gray",
    version="1.0",
    architecture="resnet18",
    outputs=ONE_LOGIT,
    preprocessing=Preprocessing(size=224, mean=(0.49,), std=(0.25,)),
    augmentation=AUGMENTATION,
    stages=(Stage(epochs=12, frozen_blocks=0, backbone_learning_rate=3e-4, head_learning_rate=3e-4),),
    batch_size=32,
    loss="bce",
    keep="val_auc",
)
