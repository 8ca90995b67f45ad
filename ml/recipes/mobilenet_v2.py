"""The default model: MobileNetV2 from ImageNet, fine-tuned on class folders of frontal chest radiographs.

Normal and pneumonia images of the training data were acquired differently: exposure, frame and sharpness alone tell
them apart (``ml.acquisition``), and a network that reads these instead of the lungs fails elsewhere. Hence images
borrow exposure and frame from each other, their resolution varies, and those whose acquisition speaks against their
label are drawn oftener. Geometry changes little: strong crops and photometric noise take the lungs' texture away and
made the network lean on acquisition more.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.augmentation import RandomBorder, RandomResolution
from ml.borrowing import Borrowing
from ml.preprocessing import Preprocessing
from ml.recipe import ONE_LOGIT, Recipe, Stage

PREPROCESSING = Preprocessing(size=224)

# (1, S, S) uint8 -> (1, S, S) float32 in [0, 1]
AUGMENTATION = v2.Compose([
    RandomResolution(smallest=0.36, sharpest=5.0, p=0.5),
    v2.RandomHorizontalFlip(),
    v2.RandomAffine(10, (0.05, 0.05), (0.9, 1.1)),
    RandomBorder(widest=0.12, p=0.2),
    v2.ToDtype(torch.float32, scale=True),
    v2.RandomApply([v2.GaussianNoise(sigma=0.03)], p=0.2),
])  # fmt: skip

RECIPE = Recipe(
    name="mobilenet_v2",
    version="2.0",
    architecture="mobilenet_v2",
    outputs=ONE_LOGIT,
    preprocessing=PREPROCESSING,
    augmentation=AUGMENTATION,
    borrowing=Borrowing(exposure=0.5, frame=0.5, widest=0.14),
    against_the_grain=0.5,
    stages=(Stage(epochs=3, frozen_blocks=0, backbone_learning_rate=3e-4, head_learning_rate=1e-3),),
    batch_size=32,
    loss="bce",
    optimizer="adamw",
    weight_decay=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    ema_decay=0.98,
    members=3,
    keep="val_auc_stressed",
    sensitivity=0.96,
)
