"""Three classes, normal, bacterial and viral pneumonia, from file names that say which (Kermany et al.).

The default model's training with one output for each class, and without the weighting by acquisition, which knows two
classes only. The probability of pneumonia is the sum of both kinds.
"""

from __future__ import annotations

from ml.recipe import ETIOLOGY, Recipe
from ml.recipes import mobilenet_v2

RECIPE = Recipe(
    name="mobilenet_v2_etiology",
    version="1.0",
    architecture="mobilenet_v2",
    outputs=ETIOLOGY,
    preprocessing=mobilenet_v2.PREPROCESSING,
    augmentation=mobilenet_v2.AUGMENTATION,
    borrowing=mobilenet_v2.RECIPE.borrowing,
    stages=mobilenet_v2.RECIPE.stages,
    batch_size=32,
    loss="cross_entropy",
    optimizer="adamw",
    weight_decay=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    ema_decay=0.98,
    keep="val_loss",
    sensitivity=0.96,
)
