"""Pictures of single cases: what the model got right and wrong, and where it looked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ml.overlay import blend
from ml.plots import GREEN, GREY, ORANGE
from ml.scoring import Scores

LONGEST_SIDE = 220
"""Of an image in a grid, in pixels: a report of all of them stays small enough to send."""
EACH_CLASS, COLUMNS = 12, 6
CERTAIN = 3
"""Cases in each row of the Grad-CAM grid."""

Rows = npt.NDArray[np.int64]


def prediction_grid(scores: Scores, threshold: float) -> Figure:
    """A seeded draw of images, as many of each class; a green frame is right, a red and dashed one wrong."""
    generator = np.random.default_rng(0)
    chosen: list[int] = []
    for label in (1, 0):
        rows = np.flatnonzero(scores.labels == label)
        chosen += sorted(generator.permutation(rows)[:EACH_CLASS].tolist())
    lines = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(1.75 * COLUMNS, 2.1 * lines), layout="constrained")
    grid = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for axes, row in zip(grid, chosen, strict=False):
        _show(axes, _small(scores, row))
        _caption(axes, scores, row, threshold)
    for axes in list(grid)[len(chosen) :]:
        axes.set_axis_off()
    return figure


def certain_cases(scores: Scores, threshold: float) -> dict[str, list[int]]:
    """The rights and wrongs of each class in which the probability is furthest to the side the model took.

    A kind without a case is left out.
    """
    called = scores.probabilities >= threshold
    kinds = {
        "pneumonia found": (scores.labels == 1) & called,
        "pneumonia missed": (scores.labels == 1) & ~called,
        "normal cleared": (scores.labels == 0) & ~called,
        "false alarm": (scores.labels == 0) & called,
    }
    certainty = np.where(called, scores.probabilities, 1.0 - scores.probabilities)
    order = np.argsort(-certainty, kind="stable")
    return {name: [int(row) for row in order if of[row]][:CERTAIN] for name, of in kinds.items() if of.any()}


def heatmap_grid(scores: Scores, threshold: float) -> Figure:
    """Each case as it is and under its map, which is scaled to its own peak."""
    cases = certain_cases(scores, threshold)
    figure = Figure(figsize=(1.75 * 2 * CERTAIN, 2.1 * len(cases)), layout="constrained")
    grid = figure.subplots(len(cases), 2 * CERTAIN, squeeze=False)
    for axes_of_line, (name, rows) in zip(grid, cases.items(), strict=True):
        for axes in axes_of_line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        axes_of_line[0].set_ylabel(name, fontsize=11)
        for place, row in enumerate(rows):
            plain, mapped = axes_of_line[2 * place : 2 * place + 2]
            image = _small(scores, row)
            _show(plain, image)
            _caption(plain, scores, row, threshold)
            colours = np.repeat(image[..., None] * np.float32(255.0), 3, axis=2)
            heatmap = scores.heatmaps[row]
            if heatmap.max() > 0:  # else it has nothing to show
                colours = blend(colours, heatmap, 1.0)
            _show(mapped, (colours / 255.0).astype(np.float32))
            mapped.set_title("Grad-CAM", fontsize=8, color=GREY)
    return figure


def _small(scores: Scores, row: int) -> npt.NDArray[np.float32]:
    """The image read once more, (h, w) float32 in [0, 1]."""
    image = Image.fromarray(scores.samples[row].read())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0)


def _show(axes: Axes, image: npt.NDArray[np.float32]) -> None:
    axes.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])


def _caption(axes: Axes, scores: Scores, row: int, threshold: float) -> None:
    sample, probability = scores.samples[row], scores.probabilities[row]
    right = (probability >= threshold) == (sample.label == 1)
    truth = "pneumonia" if sample.label else "normal"
    axes.set_title(f"{'right' if right else 'WRONG'}: {truth}, {100 * probability:.1f} %", fontsize=8)
    axes.spines[:].set(visible=True, color=GREEN if right else ORANGE, linewidth=3, linestyle="-" if right else "--")
