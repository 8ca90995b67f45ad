"""What a training recipe states; ``ml/recipes/`` holds one file for each."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, Literal

import torch

import ml.recipes
from core.errors import ConfigurationError
from ml.borrowing import Borrowing
from ml.networks import ARCHITECTURES
from ml.preprocessing import Preprocessing

ONE_LOGIT = ("pneumonia",)
TWO_CLASSES = ("normal", "pneumonia")
ETIOLOGY = ("normal", "bacterial", "viral")

Freeze = Literal["all", "partial", "none"]
Loss = Literal["bce", "cross_entropy", "focal"]
Monitor = Literal["val_loss", "val_auc", "val_auc_stressed"]


NUMBERS = ("int", "float")
RATES = ("backbone_learning_rate", "head_learning_rate")


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs under one way of freezing."""

    epochs: int
    frozen_blocks: int
    """First children of the backbone that keep their starting weights."""
    backbone_learning_rate: float
    head_learning_rate: float


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    version: str
    """Raised whenever retraining changes what users see."""
    architecture: str
    """A key of ``ml.networks.ARCHITECTURES``."""
    outputs: tuple[str, ...]
    """ONE_LOGIT, TWO_CLASSES or ETIOLOGY."""
    preprocessing: Preprocessing
    augmentation: Callable[[torch.Tensor], torch.Tensor]
    """(1, S, S) uint8 to (1, S, S) float32 in [0, 1]."""
    stages: tuple[Stage, ...]
    batch_size: int
    loss: Loss
    """Always weighted by class: ``pos_weight`` for one logit, else one weight for each class."""
    keep: Monitor
    """What decides which epoch's weights are kept; also watched by early stopping."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """``cosine`` falls to ``lowest_learning_rate``; ``plateau`` divides by ten when validation loss stops falling."""
    warmup_epochs: float = 0.0
    """Of a linear rise before the cosine."""
    lowest_learning_rate: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    """With MixUp too, one of the two is drawn for each batch."""
    gradient_clip: float = 0.0
    """Largest norm of a step's gradient; 0 for no limit."""
    ema_decay: float = 0.0
    """Per step, of the averaged weights that are validated and kept; 0 for none."""
    borrowing: Borrowing | None = None
    """What training images take over from each other before they are augmented."""
    against_the_grain: float = 0.0
    """How much oftener images are drawn whose acquisition speaks against their label (``ml.acquisition``); 0 to 1."""
    early_stopping: int = 0
    """Epochs without improvement after which training ends; 0 for never."""
    members: int = 1
    """Networks that are trained from the same start and averaged into one (``ml.soup``)."""
    sensitivity: float = 0.95
    """Kept by the threshold over the validation images and their stress copies."""

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ConfigurationError(f"unknown architecture {self.architecture!r}, known: {sorted(ARCHITECTURES)}")
        fitting = {"bce", "focal"} if len(self.outputs) == 1 else {"cross_entropy", "focal"}
        if self.loss not in fitting:
            raise ConfigurationError(
                f"{self.name} has {len(self.outputs)} output(s): its loss is {' or '.join(sorted(fitting))}, "
                f"not {self.loss}"
            )

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """Numbers and words as they are; what has no JSON form (the augmentation) as its text."""
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


def overridden(
    recipe: Recipe,
    *,
    epochs: int | None = None,
    stage_epochs: Sequence[int | None] = (),
    freeze: Freeze | None = None,
    loss: Loss | None = None,
    settings: Sequence[str] = (),
) -> Recipe:
    """The recipe with what the command line says otherwise.

    Args:
        settings: ``NAME=NUMBER`` for any number of the recipe; the learning rates are those of every stage.

    Raises:
        ConfigurationError: numbers of epochs that do not fit the recipe's stages, a loss that does not fit its outputs,
            or a setting that a recipe does not have.
    """
    stages = list(recipe.stages)
    if epochs is not None:
        if len(stages) > 1:
            raise ConfigurationError(
                f"{recipe.name} has {len(stages)} stages: give --stage1-epochs and --stage2-epochs"
            )
        stages[0] = replace(stages[0], epochs=epochs)
    for number, wanted in enumerate(stage_epochs):
        if wanted is not None:
            if len(stages) == 1:
                raise ConfigurationError(f"{recipe.name} has one stage: give --epochs")
            stages[number] = replace(stages[number], epochs=wanted)
    if freeze is not None:
        blocks = {"all": sys.maxsize, "partial": ARCHITECTURES[recipe.architecture].partial, "none": 0}[freeze]
        stages = [replace(stage, frozen_blocks=blocks) for stage in stages]
    numbers = dict(_number(setting) for setting in settings)
    rates = {name: numbers.pop(name) for name in list(numbers) if name in RATES}
    stages = [replace(stage, **rates) for stage in stages]
    return replace(recipe, stages=tuple(stages), loss=loss or recipe.loss, **numbers)


def _number(setting: str) -> tuple[str, Any]:
    name, _, text = setting.partition("=")
    known = {field.name: float if field.type == "float" else int for field in fields(Recipe) if field.type in NUMBERS}
    known |= dict.fromkeys(RATES, float)
    try:
        return name, known[name](text)
    except (KeyError, ValueError) as exc:
        raise ConfigurationError(f"--set {setting} is not NAME=NUMBER with a name of: {', '.join(known)}") from exc
