"""Charts of an evaluation. Colours are those of Okabe & Ito, which colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ml.curves import GRID, Curve, Reliability
from ml.learning_curves import Panel
from ml.operating_points import OperatingPoint

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7")
Corner = Literal["lower left", "lower right"]

SIDE = 4.6
"""Of a square panel, in inches."""


def confusion_chart(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Rows: what the data says; columns: what the model said. Shades are shares of a row."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    words = [[f"{n:,}\n{share:.1%}" for n, share in zip(*row, strict=True)] for row in zip(counts, shares, strict=True)]
    figure, axes = _square()
    sns.heatmap(
        shares, vmin=0, vmax=1, cmap="Blues", annot=np.array(words), fmt="", annot_kws={"size": 13}, ax=axes,
        cbar=False, square=True, linewidths=2, linecolor="white", xticklabels=names, yticklabels=names,
    )  # fmt: skip
    axes.set(xlabel="the model called it", ylabel="labelled", title="Confusion matrix")
    axes.tick_params(length=0)
    return figure


def roc_chart(curve: Curve, auc: float, shipped: OperatingPoint) -> Figure:
    figure, axes = _square()
    axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.fill_between(GRID, curve.low, curve.high, color=BLUE, alpha=0.2, linewidth=0, label="95 % band")
    axes.plot(curve.x, curve.y, color=BLUE, label=f"AUC {auc:.3f}")
    _operating_point(axes, 1 - shipped.specificity, shipped.sensitivity, shipped.threshold)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC curve")
    _finish(axes, "lower right")
    return figure


def precision_recall_chart(curve: Curve, pr_auc: float, prevalence: float, shipped: OperatingPoint) -> Figure:
    figure, axes = _square()
    axes.axhline(prevalence, color=GREY, linestyle=":", linewidth=1, label=f"chance ({prevalence:.2f} are pneumonia)")
    axes.fill_between(GRID[1:], curve.low[1:], curve.high[1:], color=BLUE, alpha=0.2, linewidth=0, label="95 % band")
    axes.step(curve.x, curve.y, where="pre", color=BLUE, label=f"PR-AUC {pr_auc:.3f}")
    if shipped.ppv is not None:
        _operating_point(axes, shipped.sensitivity, shipped.ppv, shipped.threshold)
    axes.set(
        xlabel="sensitivity (recall)", ylabel="positive predictive value (precision)", title="Precision and recall"
    )
    _finish(axes, "lower left")
    return figure


def reliability_chart(after: Reliability, before: Reliability | None) -> Figure:
    """Observed share with its interval over said probability; the lower panel counts the images of each bin."""
    figure = Figure(figsize=(SIDE, SIDE * 1.3), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    top.plot((0, 1), (0, 1), color=GREY, linestyle=":", linewidth=1, label="perfect")
    if before is not None:
        x, y = [part.predicted for part in before.bins], [part.observed for part in before.bins]
        top.plot(x, y, "s", color=ORANGE, markersize=5, fillstyle="none", label=f"uncalibrated: ECE {before.ece:.3f}")
    x, y = [part.predicted for part in after.bins], [part.observed for part in after.bins]
    reach = [(part.observed - part.ci[0], part.ci[1] - part.observed) for part in after.bins]
    # Rounding takes a bound past a share of 0 or 1 by 1e-17.
    bars = np.maximum(np.transpose(reach), 0)
    top.errorbar(x, y, bars, fmt="o", color=BLUE, markersize=5, linewidth=1, label=f"as shipped: ECE {after.ece:.3f}")
    top.set(ylabel="share that is labelled pneumonia", title="Reliability")
    _finish(top, "lower right")
    bottom.bar([found.predicted for found in after.bins], [found.n for found in after.bins], width=0.04, color=BLUE)
    bottom.set(xlabel="probability the model gave", ylabel="images", yscale="log")
    bottom.grid(alpha=0.25)
    return figure


def learning_chart(panels: Sequence[Panel]) -> Figure:
    figure = Figure(figsize=(SIDE * min(2, len(panels)), 3.2 * ((len(panels) + 1) // 2)), layout="constrained")
    grid = figure.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for line, colour in zip(panel.lines, LINES, strict=False):
            axes.plot(line.epochs, line.values, color=colour, marker=".", label=line.name)
        axes.set(title=panel.title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    return figure, figure.subplots()


def _operating_point(axes: Axes, x: float, y: float, threshold: float) -> None:
    axes.plot(
        x, y, "D", color=ORANGE, markersize=8, markeredgecolor="white", label=f"shipped threshold {threshold:.3f}"
    )


def _finish(axes: Axes, corner: Corner) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal", adjustable="box")
    axes.grid(alpha=0.25)
    axes.legend(loc=corner, fontsize=8)
