"""Figures a clinician and a reviewer ask for, each with its 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from core.errors import ConfigurationError
from ml.classifier import Classifier
from ml.data import CLASSES, Sample
from ml.figures import Judged, expected_calibration_error
from ml.resampling import RESAMPLES, interval, resampled_figures
from ml.scoring import score

__all__ = ["Evaluation", "evaluate", "evaluate_samples", "expected_calibration_error"]


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
    brier: float
    threshold: float
    confusion: tuple[tuple[int, int], tuple[int, int]]
    """((true negatives, false positives), (false negatives, true positives))"""
    ci: dict[str, tuple[float, float]]
    """95 % bootstrap interval for each figure, whole patients resampled."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_samples(classifier: Classifier, samples: Sequence[Sample], progress: Callable[[int], None]) -> Evaluation:
    """Over the same road as in service; ``progress`` hears how many images each batch had."""
    (scores,) = score(samples, [classifier], progress)
    return evaluate(scores.labels, scores.probabilities, classifier.record.threshold, scores.patients)


def evaluate(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    threshold: float,
    patients: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Hold probabilities (N,) in [0, 1] against labels (N,) in {0, 1}. Seeded.

    Raises:
        ConfigurationError: one of the two classes has no image.
    """
    for label, name in enumerate(CLASSES):
        if label not in labels:
            raise ConfigurationError(f"the data has no {name} image, and the figures need both classes: add some")
    judged = Judged(labels, probabilities, threshold)
    draws = resampled_figures(judged, labels, patients, resamples, seed)
    confusion = sk.confusion_matrix(labels, probabilities >= threshold, labels=[0, 1])
    return Evaluation(
        n=len(labels),
        threshold=threshold,
        confusion=tuple(tuple(row) for row in confusion.tolist()),  # type: ignore[arg-type]  # 2 x 2 by its labels
        ci={name: interval(values) for name, values in draws.items()},
        **judged.figures(np.ones(len(labels))),
    )
