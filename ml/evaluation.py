"""Figures a clinician and a reviewer ask for, each with its 95 % interval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from ml.classifier import Classifier
from ml.data import Sample

INTERVAL = (2.5, 97.5)
BATCH = 16
ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class Evaluation:
    n: int
    auc: float
    pr_auc: float
    accuracy: float
    sensitivity: float
    specificity: float
    precision: float
    f1: float
    ece: float
    threshold: float
    confusion: tuple[tuple[int, int], tuple[int, int]]
    """((true negatives, false positives), (false negatives, true positives))"""
    ci: dict[str, tuple[float, float]]
    """95 % bootstrap interval for each figure, whole patients resampled."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_samples(classifier: Classifier, samples: Sequence[Sample], progress: Callable[[int], None]) -> Evaluation:
    """Over the same road as in service, a batch at a time; ``progress`` hears how many images each batch had."""
    probabilities: list[float] = []
    for start in range(0, len(samples), BATCH):
        images = [sample.read() for sample in samples[start : start + BATCH]]
        probabilities += [prediction.probability for prediction, _ in classifier.classify(images)]
        progress(len(images))
    return evaluate(
        np.array([sample.label for sample in samples]),
        np.array(probabilities),
        classifier.record.threshold,
        [sample.patient for sample in samples],
    )


def evaluate(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    threshold: float,
    patients: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Hold probabilities (N,) in [0, 1] against labels (N,) in {0, 1}. Seeded.

    Images of one patient are no independent draws, so the bootstrap draws patients, each class by itself.
    """
    confusion = sk.confusion_matrix(labels, probabilities >= threshold, labels=[0, 1])
    rows_of: dict[tuple[int, str], list[int]] = {}
    for row, key in enumerate(zip(labels.tolist(), patients, strict=True)):
        rows_of.setdefault(key, []).append(row)
    strata = [[np.array(rows) for (label, _), rows in rows_of.items() if label == wanted] for wanted in (0, 1)]
    generator = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = np.concatenate(
            [groups[i] for groups in strata for i in generator.integers(0, len(groups), len(groups))]
        )
        for name, value in _figures(labels[drawn], probabilities[drawn], threshold).items():
            draws.setdefault(name, []).append(value)
    return Evaluation(
        n=len(labels),
        threshold=threshold,
        confusion=tuple(tuple(row) for row in confusion.tolist()),  # type: ignore[arg-type]  # 2 x 2 by its labels
        ci={name: _interval(values) for name, values in draws.items()},
        **_figures(labels, probabilities, threshold),
    )


def _figures(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], threshold: float
) -> dict[str, float]:
    predicted = probabilities >= threshold
    with warnings.catch_warnings():
        # A resample without any positive call has no precision; zero_division gives 0.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        figures = {
            "auc": sk.roc_auc_score(labels, probabilities),
            "pr_auc": sk.average_precision_score(labels, probabilities),
            "accuracy": sk.accuracy_score(labels, predicted),
            "sensitivity": sk.recall_score(labels, predicted),
            "specificity": sk.recall_score(labels, predicted, pos_label=0),
            "precision": sk.precision_score(labels, predicted, zero_division=0),
            "f1": sk.f1_score(labels, predicted),
            "ece": expected_calibration_error(labels, probabilities),
        }
    return {name: float(value) for name, value in figures.items()}


def expected_calibration_error(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """Mean distance of probability and observed share of pneumonia over equal-width bins, weighted by their size."""
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - labels, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
