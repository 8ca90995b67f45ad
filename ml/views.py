"""Test-time augmentation: one radiograph in views that must not change its label, judged in one batch.

Averaging the logits of views steadies a prediction; where the views disagree, the prediction hangs on something that
is not the lungs, and a reader should know.
"""

from __future__ import annotations

import torch
from torch.nn import functional

# Where each view looks: (x, y) of its pixels to (x, y) of the image, both in [-1, 1]. All lie well inside what the
# recipes' augmentation shows in training.
VIEWS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "mirrored": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "closer": ((0.94, 0.0, 0.0), (0.0, 0.94, 0.0)),
    "shifted": ((1.0, 0.0, 0.05), (0.0, 1.0, -0.05)),
}
WIDEST_SPREAD = 0.15
"""Standard deviation of the views' calibrated probabilities: above it they disagree."""


def views_of(grey: torch.Tensor) -> torch.Tensor:
    """(B, 1, S, S) to ((1 + views) * B, 1, S, S): the images as they are, then all of them in each view."""
    batch = len(grey)
    theta = torch.tensor(list(VIEWS.values()), device=grey.device).repeat_interleave(batch, 0)
    grid = functional.affine_grid(theta, [len(theta), *grey.shape[1:]], align_corners=False)
    seen = functional.grid_sample(
        grey.repeat(len(VIEWS), 1, 1, 1), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return torch.cat([grey, seen])


def disagree(probabilities: torch.Tensor, threshold: float) -> torch.Tensor:
    """(views, B) calibrated probabilities to (B,): whether the outcome changes across views, or they spread widely."""
    positive = probabilities >= threshold
    changes = positive.any(0) & ~positive.all(0)
    return changes | (probabilities.std(0, correction=0) > WIDEST_SPREAD)
