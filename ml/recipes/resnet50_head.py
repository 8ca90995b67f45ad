"""Class folders on a frozen ResNet-50: global average pooling, dropout and a dense layer learn.

Published: accuracy 91.8 %, AUC 0.961, PR-AUC 0.966, precision / recall 0.907 / 0.872 (normal) and 0.925 / 0.946
(pneumonia).
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.preprocessing import Preprocessing
from ml.recipe import ONE_LOGIT, Recipe, Stage

AUGMENTATION = v2.Compose([
    v2.RandomHorizontalFlip(),
    v2.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
    v2.ToDtype(torch.float32, scale=True),
])  # fmt: skip

RECIPE = Recipe(
    name="resnet50_head",
    version="1.0",
    architecture="resnet50",
    outputs=ONE_LOGIT,
    preprocessing=Preprocessing(size=224),
    augmentation=AUGMENTATION,
    stages=(Stage(epochs=20, frozen_blocks=8, backbone_learning_rate=1e-3, head_learning_rate=1e-3),),
    batch_size=32,
    loss="bce",
    schedule="plateau",
    early_stopping=5,
    keep="val_loss",
)
