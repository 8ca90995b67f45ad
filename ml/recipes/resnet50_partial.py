"""Class folders on a ResNet-50 whose first half stays frozen, with every regularisation its authors used.

Published: test accuracy 93.27 %, precision / recall 95.71 / 85.90 % (normal) and 92.03 / 97.69 % (pneumonia),
validation accuracy 98.08 %. They compared three ways of freezing: ``--freeze all``, ``partial`` (here) and ``none``.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.preprocessing import Preprocessing
from ml.recipe import TWO_CLASSES, Recipe, Stage

AUGMENTATION = v2.Compose([
    v2.RandomResizedCrop(224, scale=(0.8, 1.0), antialias=True),
    v2.RandomHorizontalFlip(),
    v2.RandomAffine(10, (0.05, 0.05), (0.95, 1.05), interpolation=v2.InterpolationMode.BILINEAR),
    v2.ColorJitter(brightness=0.2, contrast=0.2),
    v2.ToDtype(torch.float32, scale=True),
    v2.RandomErasing(p=0.2),
])  # fmt: skip

RECIPE = Recipe(
    name="resnet50_partial",
    version="1.0",
    architecture="resnet50_512",
    outputs=TWO_CLASSES,
    preprocessing=Preprocessing(size=224),
    augmentation=AUGMENTATION,
    # conv1 with its norm, ReLU and pooling, layer1, layer2
    stages=(Stage(epochs=30, frozen_blocks=6, backbone_learning_rate=3e-5, head_learning_rate=3e-4),),
    batch_size=32,
    loss="cross_entropy",
    label_smoothing=0.1,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    weight_decay=1e-4,
    schedule="cosine",
    warmup_epochs=3,
    lowest_learning_rate=1e-6,
    gradient_clip=1.0,
    ema_decay=0.999,
    early_stopping=10,
    keep="val_auc",
)
