"""Temperature, offset and threshold, all chosen on validation patients and kept in the record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def fit_temperature_and_offset(logits: Logits, labels: Labels) -> tuple[float, float]:
    """The T and b for which sigmoid((logit + b) / T) explains the labels best: Platt's scaling in two parts.

    Class weights and MixUp move the logits of all images to one side, which a temperature alone cannot mend. The offset
    goes into the bias of the network's last layer (``ml.networks.shift_logits``), the temperature into the record.

    Args:
        logits: (N,); labels: (N,) in {0, 1}.

    Returns (1, 0), which changes nothing, for a network that ranks images no better than chance.
    """
    # A trace of regularisation: classes that a small validation part separates wholly would ask for T = 0.
    fit = LogisticRegression(C=10.0).fit(logits[:, None], labels)
    slope, intercept = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    if slope <= 0:
        return 1.0, 0.0
    return 1.0 / slope, intercept / slope


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
