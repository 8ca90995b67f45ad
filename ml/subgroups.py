"""The same figures for parts of the data: kinds of pneumonia, and small and large images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.evaluation import evaluate
from ml.scoring import Scores

FIGURES = ("sensitivity", "specificity", "auc")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Subgroup:
    group: str
    """What the data is divided by."""
    name: str
    normal: int
    pneumonia: int
    sensitivity: float | None
    """None, as the others, where the part lacks the class it needs."""
    specificity: float | None
    auc: float | None
    ci: dict[str, tuple[float, float]]
    """95 % interval of each figure, whole patients resampled; empty where a class is missing."""


def subgroups(scores: Scores, threshold: float) -> tuple[Subgroup, ...]:
    """Each kind of pneumonia against all normal images, then thirds by image size."""
    return (
        *(_subgroup("kind of pneumonia", name, rows, scores, threshold) for name, rows in _kinds(scores)),
        *(_subgroup("image size", name, rows, scores, threshold) for name, rows in _sizes(scores.pixels)),
    )


def _kinds(scores: Scores) -> Iterator[tuple[str, Rows]]:
    kind_of = np.array([sample.subgroup if sample.label else "" for sample in scores.samples])
    for kind in sorted(set(kind_of) - {""}):
        yield str(kind), np.flatnonzero((kind_of == kind) | (scores.labels == 0))


def _sizes(pixels: npt.NDArray[np.int64]) -> Iterator[tuple[str, Rows]]:
    """Thirds by number of pixels; images of one size are never parted, so there may be fewer groups."""
    third = np.digitize(pixels, np.quantile(pixels, [1 / 3, 2 / 3]), right=True)
    numbers = np.unique(third)
    for number in numbers:
        rows = np.flatnonzero(third == number)
        low, high = pixels[rows].min() / 1e6, pixels[rows].max() / 1e6
        size = f"{low:.2f} to {high:.2f}" if high > low else f"{low:.2f}"
        yield f"{'' if len(numbers) > 1 else 'all '}{size} megapixels", rows


def _subgroup(group: str, name: str, rows: Rows, scores: Scores, threshold: float) -> Subgroup:
    labels, probabilities = scores.labels[rows], scores.probabilities[rows]
    pneumonia = int(labels.sum())
    normal = len(labels) - pneumonia
    if normal and pneumonia:
        patients = [scores.patients[row] for row in rows]
        evaluation = evaluate(labels, probabilities, threshold, patients)
        values = {figure: getattr(evaluation, figure) for figure in FIGURES}
        ci = {figure: evaluation.ci[figure] for figure in FIGURES}
    else:
        right = float(((probabilities >= threshold) == (labels == 1)).mean())
        values = {"sensitivity": right if pneumonia else None, "specificity": right if normal else None, "auc": None}
        ci = {}
    return Subgroup(group, name, normal, pneumonia, ci=ci, **values)
