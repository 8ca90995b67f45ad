"""Scores as a model would have given them, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from ml.data import Sample
from ml.scoring import Scores


def _unread() -> NoReturn:
    raise AssertionError("figures read no image")


def make_scores(
    labels: Sequence[int] | np.ndarray,
    probabilities: Sequence[float] | np.ndarray,
    subgroups: Sequence[str] = (),
    *,
    pixels: Sequence[int] = (),
    classes: tuple[str, ...] = (),
    shares: Sequence[Sequence[float]] = (),
) -> Scores:
    """Each image of a patient of its own."""
    n = len(labels)
    kinds = subgroups or [""] * n
    return Scores(
        samples=tuple(
            Sample(f"image-{i}", int(label), f"patient-{i}", _unread, kind)
            for i, (label, kind) in enumerate(zip(labels, kinds, strict=True))
        ),
        probabilities=np.array(probabilities, dtype=np.float64),
        classes=classes,
        shares=np.array(shares, dtype=np.float64) if classes else np.empty((n, 0)),
        heatmaps=np.zeros((n, 7, 7), np.float32),
        pixels=np.array(pixels or [224 * 224] * n),
    )
