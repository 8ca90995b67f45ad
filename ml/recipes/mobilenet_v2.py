"""The default model: MobileNetV2 from ImageNet, fine-tuned on class folders of frontal chest radiographs.

Normal and pneumonia images of the training data were acquired differently: exposure, frame and sharpness alone tell
them apart (``ml.acquisition``), and a network that reads these instead of the lungs fails elsewhere. Hence images
borrow exposure and frame from each other, resolution and geometry vary widely, images whose acquisition speaks against
their label are drawn oftener, the stem stays frozen and the weights are averaged.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from ml.augmentation import RandomBorder, RandomGamma, RandomJPEG, RandomResolution
from ml.borrowing import Borrowing
from ml.preprocessing import Preprocessing
from ml.recipe import ONE_LOGIT, Recipe, Stage

PREPROCESSING = Preprocessing(size=224)

# (1, S, S) uint8 -> (1, S, S) float32 in [0, 1]
AUGMENTATION = v2.Compose([
    RandomResolution(smallest=0.36, sharpest=5.0, p=0.5),
    v2.RandomResizedCrop(PREPROCESSING.size, scale=(0.6, 1.0), ratio=(0.75, 1.33), antialias=True),
    v2.RandomHorizontalFlip(),
    v2.RandomApply([v2.RandomAffine(12, (0.06, 0.06), (0.85, 1.1), 5, v2.InterpolationMode.BILINEAR)], p=0.7),
    RandomBorder(widest=0.12, p=0.3),
    v2.RandomChoice([v2.RandomEqualize(p=1.0), v2.RandomAutocontrast(p=1.0), v2.Identity()], p=[0.15, 0.2, 0.65]),
    RandomGamma(0.6, 1.7),
    v2.ColorJitter(brightness=0.25, contrast=0.35),
    v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.6))], p=0.3),
    v2.RandomApply([RandomJPEG(30, 95)], p=0.3),
    v2.ToDtype(torch.float32, scale=True),
    v2.RandomApply([v2.GaussianNoise(sigma=0.03)], p=0.3),
    v2.RandomErasing(p=0.25, scale=(0.01, 0.08), value=0.0),
])  # fmt: skip

RECIPE = Recipe(
    name="mobilenet_v2",
    version="2.0",
    architecture="mobilenet_v2",
    outputs=ONE_LOGIT,
    preprocessing=PREPROCESSING,
    augmentation=AUGMENTATION,
    borrowing=Borrowing(exposure=0.5, frame=0.5, widest=0.14),
    against_the_grain=0.7,
    stages=(Stage(epochs=8, frozen_blocks=4, backbone_learning_rate=6e-4, head_learning_rate=2e-3),),
    batch_size=32,
    loss="bce",
    label_smoothing=0.05,
    mixup_alpha=0.2,
    optimizer="adamw",
    weight_decay=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    gradient_clip=1.0,
    ema_decay=0.99,
    keep="val_auc_stressed",
    sensitivity=0.96,
)
