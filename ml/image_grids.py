"""Pictures of single cases: what the model got right and wrong, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ml.heat import blend
from ml.plots import GREEN, GREY, ORANGE
from ml.scoring import Scores

LONGEST_SIDE = 220
"""Of an image in a grid, in pixels: a report of all of them stays small enough to send."""
CELL = 1.75
"""Width of an image on the page, in inches."""
COLUMNS = 6
EACH_CLASS = 2 * COLUMNS
CERTAIN = COLUMNS // 2
"""Cases of a kind in the Grad-CAM grid, two columns each."""

Rows = npt.NDArray[np.int64]


def prediction_grid(scores: Scores, threshold: float) -> Figure:
    """A seeded draw of images, as many of each class; a green frame is right, a red and dashed one wrong."""
    generator = np.random.default_rng(0)
    chosen: list[int] = []
    for label in (1, 0):
        rows = np.flatnonzero(scores.labels == label)
        chosen += sorted(generator.permutation(rows)[:EACH_CLASS].tolist())
    images = [_small(scores, row) for row in chosen]
    figure, grid = _grid(images, -(-len(chosen) // COLUMNS))
    cells = grid.ravel().tolist()
    for axes, row, image in zip(cells, chosen, images, strict=False):
        _show(axes, image)
        _caption(axes, scores, row, threshold)
    for axes in cells[len(chosen) :]:
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
    images = {row: _small(scores, row) for rows in cases.values() for row in rows}
    figure, grid = _grid(list(images.values()), len(cases))
    for cells, (name, rows) in zip(grid, cases.items(), strict=True):
        for axes in cells:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        cells[0].set_ylabel(name, fontsize=10)
        for place, row in enumerate(rows):
            plain, mapped = cells[2 * place : 2 * place + 2]
            _show(plain, images[row])
            _caption(plain, scores, row, threshold)
            colours = np.repeat(images[row][..., None] * np.float32(255.0), 3, axis=2)
            heatmap = scores.heatmaps[row]
            if heatmap.max() > 0:  # else it has nothing to show
                colours = blend(colours, heatmap, 1.0)
            _show(mapped, (colours / 255.0).astype(np.float32))
            mapped.set_title("Grad-CAM", fontsize=8, color=GREY)
    return figure


def _grid(images: Sequence[npt.NDArray[np.float32]], lines: int) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Axes (lines, COLUMNS), each as high as the tallest image needs."""
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    figure = Figure(figsize=(CELL * COLUMNS, (CELL * min(tallest, 1.5) + 0.3) * lines), layout="constrained")
    return figure, figure.subplots(lines, COLUMNS, squeeze=False)


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
