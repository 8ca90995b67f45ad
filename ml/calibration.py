"""Temperature and threshold, both chosen on validation patients and kept in the record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The T for which sigmoid(logit / T) explains the labels best (Guo et al. 2017), from a fine grid.

    Args:
        logits: (N,); labels: (N,) in {0, 1}.
    """
    candidates = np.geomspace(0.1, 5.0, 800)
    signed = np.where(labels == 1, logits, -logits)
    losses = np.logaddexp(0.0, -signed[None] / candidates[:, None]).mean(axis=1)
    return float(candidates[losses.argmin()])


def calibrated(logits: Logits, temperature: float) -> Logits:
    """Probabilities in [0, 1]."""
    return 1.0 / (1.0 + np.exp(-logits / temperature))


def choose_threshold(probabilities: Logits, labels: Labels, *, sensitivity: float) -> float:
    """The highest threshold that keeps the wanted sensitivity.

    Images from elsewhere raise the scores of normal radiographs more than they lower those of pneumonia, and normal
    validation images, from the same place as the training's, cannot show by how much. So the pneumonia images alone
    fix the threshold, as high as they allow, and not the point where both classes of this one place balance.
    """
    positives = np.sort(probabilities[labels == 1])
    missed = int((1.0 - sensitivity) * len(positives))
    return float(np.clip(positives[missed], 0.05, 0.95))
