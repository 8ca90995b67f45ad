"""Figures of a binary test from weighted counts, so that a resample costs one weighting and not one sort."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

ECE_BINS = 15


class Judged:
    """Images in the order of falling probability, ready to be counted with any weights.

    The figures are scikit-learn's, which the tests hold them against; its own functions sort and check anew at every
    call, and a thousand resamples of 5,000 images would take longer than the network.
    """

    def __init__(self, labels: Labels, probabilities: Numbers, threshold: float) -> None:
        """Labels (N,) in {0, 1}, both present; probabilities (N,) in [0, 1]; positive at and above the threshold."""
        order = np.argsort(-probabilities, kind="stable")
        self._order = order
        self._labels = labels[order].astype(np.float64)
        self._probabilities = probabilities[order]
        self._called = int((probabilities >= threshold).sum())
        # Equal probabilities are one step of the curve.
        self._steps = np.flatnonzero(np.append(np.diff(self._probabilities) != 0, True))
        self._bins = calibration_bins(self._probabilities)

    def curve(self, weights: Numbers) -> tuple[Numbers, Numbers]:
        """True and false positives (S + 1,) as the threshold falls past each probability, from none to all."""
        weights = weights[self._order]
        hits = np.cumsum(weights * self._labels)[self._steps]
        alarms = np.cumsum(weights * (1.0 - self._labels))[self._steps]
        return np.concatenate([[0.0], hits]), np.concatenate([[0.0], alarms])

    def figures(self, weights: Numbers) -> dict[str, float]:
        """Every figure with its name; ``weights`` (N,) says how often each image counts."""
        hits, alarms = self.curve(weights)
        positives, negatives = hits[-1], alarms[-1]
        ordered = weights[self._order]
        tp = float((ordered * self._labels)[: self._called].sum())
        fp = float(ordered[: self._called].sum()) - tp
        gaps = ordered * (self._probabilities - self._labels)
        figures = {
            "auc": np.trapezoid(hits, alarms) / (positives * negatives),
            "pr_auc": (np.diff(hits) * precision(hits, alarms)[1:]).sum() / positives,
            "accuracy": (tp + negatives - fp) / (positives + negatives),
            "sensitivity": tp / positives,
            "specificity": 1.0 - fp / negatives,
            "precision": tp / (tp + fp) if tp + fp else 0.0,
            "f1": 2 * tp / (tp + fp + positives),
            "ece": np.abs(np.bincount(self._bins, gaps, ECE_BINS)).sum() / ordered.sum(),
            "brier": (gaps * (self._probabilities - self._labels)).sum() / ordered.sum(),
        }
        return {name: float(value) for name, value in figures.items()}


def precision(hits: Numbers, alarms: Numbers) -> Numbers:
    """Share of positive calls that are right, 1 where nothing is called positive."""
    calls = hits + alarms
    return np.divide(hits, calls, out=np.ones_like(hits), where=calls > 0)


def calibration_bins(probabilities: Numbers) -> npt.NDArray[np.int64]:
    """(N,) index into ECE_BINS bins of equal width."""
    return np.minimum((probabilities * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def expected_calibration_error(labels: Labels, probabilities: Numbers) -> float:
    """Mean distance of probability and observed share of pneumonia over equal-width bins, weighted by their size."""
    gaps = np.bincount(calibration_bins(probabilities), weights=probabilities - labels, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))
