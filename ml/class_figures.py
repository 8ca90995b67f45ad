"""Precision, recall and F1 of each class, for two classes and for models that tell kinds of pneumonia apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ml.figures import Labels
from ml.scoring import Scores

SUBGROUP_OF = {"bacterial": "bacteria", "viral": "virus"}
"""What the data calls a class of the model."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Images of the class."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """A model of several classes against the kinds of pneumonia that the data names."""

    classes: tuple[str, ...]
    n: int
    confusion: tuple[tuple[int, ...], ...]
    """Rows: what the data says; columns: the model's most probable class."""
    figures: tuple[ClassFigures, ...]


def class_figures(truth: Labels, called: Labels, names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Of each class in order, then their mean weighted by support. A class that is never called has precision 0."""
    labels = list(range(len(names)))
    found = precision_recall_fscore_support(truth, called, labels=labels, zero_division=0)
    columns = [column.tolist() for column in found]
    precision, recall, f1, _ = precision_recall_fscore_support(truth, called, average="weighted", zero_division=0)
    return (
        *(ClassFigures(name, *row) for name, row in zip(names, zip(*columns, strict=True), strict=True)),
        ClassFigures("weighted mean", float(precision), float(recall), float(f1), len(truth)),
    )


def kinds(scores: Scores) -> Kinds | None:
    """Over the images whose kind is known; None where the model tells no kinds apart or the data names none."""
    wanted = {SUBGROUP_OF.get(name, name): index for index, name in enumerate(scores.classes)}
    truth = np.array([wanted.get(s.subgroup, -1) if s.label else 0 for s in scores.samples])
    known = truth >= 0
    if not scores.classes or not (truth > 0).any():
        return None
    called = scores.shares.argmax(1)[known]
    confusion = confusion_matrix(truth[known], called, labels=list(range(len(scores.classes))))
    return Kinds(
        classes=scores.classes,
        n=int(known.sum()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        figures=class_figures(truth[known], called, scores.classes),
    )
