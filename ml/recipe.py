"""What a training recipe states; ``ml/recipes/`` holds one file for each."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import torch

import ml.recipes
from core.errors import ConfigurationError
from ml.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    version: str
    """Raised whenever retraining changes what users see."""
    architecture: str
    """A key of ``ml.networks.BUILDERS``."""
    preprocessing: Preprocessing
    augmentation: Callable[[torch.Tensor], torch.Tensor]
    """(1, S, S) uint8 to (1, S, S) float32 in [0, 1]."""
    frozen_blocks: int
    """First children of the backbone that keep their starting weights."""
    dropout: float
    mixup_alpha: float
    label_smoothing: float
    epochs: int
    batch_size: int
    backbone_learning_rate: float
    head_learning_rate: float
    weight_decay: float
    ema_decay: float
    """Per step, of the averaged weights that are validated and kept."""
    sensitivity: float
    """Kept by the threshold over the validation images and their stress copies."""

    def as_json(self) -> dict[str, Any]:
        """Numbers as they are; what has no JSON form (the augmentation) as its text."""
        return {
            field.name: value if isinstance(value := getattr(self, field.name), str | int | float) else str(value)
            for field in fields(self)
        }


def recipe_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(ml.recipes.__path__))


def load_recipe(name: str) -> Recipe:
    """Raises ConfigurationError that lists the recipes there are."""
    if name not in recipe_names():
        raise ConfigurationError(f"there is no recipe {name!r}; there are: {', '.join(recipe_names())}")
    recipe: Recipe = import_module(f"ml.recipes.{name}").RECIPE
    return recipe
