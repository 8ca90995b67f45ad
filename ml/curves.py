"""ROC and precision-recall curves with their bootstrap bands, and the reliability of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from ml.calibration import calibrated
from ml.figures import ECE_BINS, Judged, Labels, Numbers, calibration_bins, expected_calibration_error, precision
from ml.resampling import INTERVAL, RESAMPLES, patient_weights, wilson

GRID = np.linspace(0.0, 1.0, 101)
SMALLEST_ODDS = 1e-7
"""A float32 sigmoid says 0 or 1 well before the logit is infinite."""


@dataclass(frozen=True, slots=True)
class Curve:
    """``x``, ``y``: every corner. ``low``, ``high``: 95 % band of y at GRID, whole patients resampled."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    n: int
    predicted: float
    """Mean probability of pneumonia of the images in the bin."""
    observed: float
    """Share of them that are labelled pneumonia."""
    ci: tuple[float, float]
    """95 % interval of that share (Wilson 1927); a bin may hold a single image."""


@dataclass(frozen=True, slots=True)
class Reliability:
    ece: float
    bins: tuple[ReliabilityBin, ...]
    """Of equal width, without those that hold no image."""


def curves(labels: Labels, probabilities: Numbers, patients: Sequence[str]) -> tuple[Curve, Curve]:
    """ROC (1 - specificity, sensitivity) and precision-recall (sensitivity, positive predictive value)."""
    judged = Judged(labels, probabilities, threshold=0.5)  # a curve has none
    sensitivities, precisions = [], []
    for weights in patient_weights(labels, patients, RESAMPLES):
        hits, alarms = judged.curve(weights)
        sensitivities.append(np.interp(GRID, alarms / alarms[-1], hits / hits[-1]))
        reached = np.searchsorted(hits / hits[-1], GRID)
        precisions.append(precision(hits, alarms)[np.minimum(reached, len(hits) - 1)])
    false_positive_rate, sensitivity, _ = roc_curve(labels, probabilities)
    ppv, recall, _ = precision_recall_curve(labels, probabilities, drop_intermediate=True)
    ppv[-1] = ppv[-2]  # scikit-learn ends at precision 1, which no threshold need reach
    return (
        Curve(_floats(false_positive_rate), _floats(sensitivity), *_band(sensitivities)),
        Curve(_floats(recall[::-1]), _floats(ppv[::-1]), *_band(precisions)),
    )


def reliability(labels: Labels, probabilities: Numbers) -> Reliability:
    bins = calibration_bins(probabilities)
    filled = [np.flatnonzero(bins == number) for number in range(ECE_BINS) if (bins == number).any()]
    return Reliability(
        ece=expected_calibration_error(labels, probabilities),
        bins=tuple(
            ReliabilityBin(
                n=len(rows),
                predicted=float(probabilities[rows].mean()),
                observed=float(labels[rows].mean()),
                ci=wilson(int(labels[rows].sum()), len(rows)),
            )
            for rows in filled
        ),
    )


def before_calibration(probabilities: Numbers, calibration: Mapping[str, Any]) -> Numbers:
    """What the network said before Platt scaling: ``calibration`` holds the temperature and the offset it was given."""
    inside = np.clip(probabilities, SMALLEST_ODDS, 1.0 - SMALLEST_ODDS)
    logits = np.log(inside / (1.0 - inside))
    return calibrated(calibration["temperature"] * logits - calibration["offset"], 1.0)


def _band(draws: list[Numbers]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = np.percentile(draws, INTERVAL, axis=0)
    return _floats(low), _floats(high)


def _floats(values: Numbers) -> tuple[float, ...]:
    return tuple(values.tolist())
