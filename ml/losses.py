"""Class-weighted losses over soft targets, so that MixUp, CutMix and label smoothing fit each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from ml.recipe import Loss

GAMMA = 2.0
"""Of the focal loss (Lin et al. 2017)."""


class WeightedLoss(nn.Module):
    """Logits (B, K) and class shares (B, C) to a scalar; C is 2 for one logit, else K.

    Args:
        class_counts: training images of each class. Rare classes weigh more: one logit weighs pneumonia by
            normal / pneumonia, several weigh each class by n / (C * count).
    """

    class_weights: torch.Tensor

    def __init__(self, kind: Loss, class_counts: Sequence[int], label_smoothing: float) -> None:
        super().__init__()
        self.kind, self.label_smoothing = kind, label_smoothing
        counts = torch.tensor(class_counts, dtype=torch.float32)
        self.register_buffer("class_weights", counts.sum() / (len(counts) * counts), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        smoothing = self.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / targets.shape[1]
        if logits.shape[1] == 1:
            return self._one_logit(logits[:, 0], targets[:, 1])
        return self._classes(logits, targets)

    def _one_logit(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        normal, pneumonia = self.class_weights
        if self.kind == "bce":
            return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=pneumonia / normal)
        share = float(pneumonia / (normal + pneumonia))
        return sigmoid_focal_loss(logits, targets, alpha=share, gamma=GAMMA, reduction="mean")

    def _classes(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, targets, weight=self.class_weights)
        log_shares = logits.log_softmax(1)
        focus = (1.0 - log_shares.exp()) ** GAMMA
        return -(self.class_weights * targets * focus * log_shares).sum(1).mean()
