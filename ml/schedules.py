"""Learning rates by step, over the stages of a recipe."""

from __future__ import annotations

import math
from itertools import accumulate

from ml.recipe import Recipe, Stage


def stage_at(recipe: Recipe, epoch: int) -> Stage:
    """The stage that epoch (from 0) belongs to; the last one from its end on."""
    ends = accumulate(stage.epochs for stage in recipe.stages)
    return next((stage for stage, end in zip(recipe.stages, ends, strict=True) if epoch < end), recipe.stages[-1])


def learning_rate_factor(recipe: Recipe, step: int, steps_per_epoch: int, peak: float) -> float:
    """What ``peak`` is multiplied with at ``step`` (from 0): 1, or a linear rise and then half a cosine wave."""
    if recipe.schedule != "cosine" or peak == 0.0:
        return 1.0
    total = recipe.epochs * steps_per_epoch
    warmup = max(1.0, recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    lowest = recipe.lowest_learning_rate / peak
    wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, total - warmup))))
    return lowest + (1.0 - lowest) * wave
