"""Three classes, normal, bacterial and viral pneumonia, from file names that say which (Kermany et al.).

The default model's training with one output for each class, and without the weighting by acquisition, which knows two
classes only. The probability of pneumonia is the sum of both kinds.
"""

from __future__ import annotations

from ml.recipe import ETIOLOGY, Recipe, Stage
from ml.recipes import mobilenet_v2

RECIPE = Recipe(
    name="mobilenet_v2_etiology",
    version="1.0",
    architecture="mobilenet_v2",
    outputs=ETIOLOGY,
    preprocessing=mobilenet_v2.PREPROCESSING,
    augmentation=mobilenet_v2.AUGMENTATION,
    borrowing=mobilenet_v2.RECIPE.borrowing,
    stages=(Stage(epochs=6, frozen_blocks=4, backbone_learning_rate=6e-4, head_learning_rate=2e-3),),
    batch_size=32,
    loss="cross_entropy",
    label_smoothing=0.05,
    mixup_alpha=0.2,
    optimizer="adamw",
    weight_decay=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    gradient_clip=1.0,
    ema_decay=0.99,
    keep="val_loss",
    sensitivity=0.96,
)
