"""What other thresholds would have done on the evaluated images.

To look at, never to ship: they were chosen with the answers in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_curve

from ml.figures import Labels, Numbers

SENSITIVITIES = (0.95, 0.98)
SPECIFICITY = 0.90


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    name: str
    shipped: bool
    """The model's own threshold, chosen on validation patients; the others were chosen on these images."""
    threshold: float
    sensitivity: float
    specificity: float
    accuracy: float
    ppv: float | None
    """Positive predictive value, at the share of pneumonia of these images; None where nothing is called positive."""
    npv: float | None


def operating_points(labels: Labels, probabilities: Numbers, shipped: float) -> tuple[OperatingPoint, ...]:
    """The shipped threshold, Youden's, and those that reach a wanted sensitivity or specificity."""
    false_positive_rate, sensitivity, thresholds = (
        column[1:]  # the first is infinite: nothing called positive
        for column in roc_curve(labels, probabilities, drop_intermediate=False)
    )
    chosen = {"Youden (sensitivity + specificity)": int(np.argmax(sensitivity - false_positive_rate))}
    for wanted in SENSITIVITIES:
        chosen[f"sensitivity at least {wanted:.2f}"] = int(np.argmax(sensitivity >= wanted))
    specific = np.flatnonzero(1.0 - false_positive_rate >= SPECIFICITY)
    if len(specific):
        chosen[f"specificity at least {SPECIFICITY:.2f}"] = int(specific[-1])
    return (
        _point("shipped with the model", shipped, labels, probabilities, shipped=True),
        *(_point(name, float(thresholds[i]), labels, probabilities) for name, i in chosen.items()),
    )


def _point(
    name: str, threshold: float, labels: Labels, probabilities: Numbers, *, shipped: bool = False
) -> OperatingPoint:
    called = probabilities >= threshold
    right = called == (labels == 1)
    return OperatingPoint(
        name=name,
        shipped=shipped,
        threshold=threshold,
        sensitivity=float(right[labels == 1].mean()),
        specificity=float(right[labels == 0].mean()),
        accuracy=float(right.mean()),
        ppv=float(right[called].mean()) if called.any() else None,
        npv=float(right[~called].mean()) if not called.all() else None,
    )
