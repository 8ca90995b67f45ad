"""The course of a training run, from its ``metrics.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from core.errors import ConfigurationError

FILE = "metrics.csv"
_PANELS = {"loss": "_loss", "accuracy": "_accuracy", "AUC": "_auc", "learning rate": "lr"}
_PLAIN = {"lr": "all layers", "lr_backbone": "backbone", "lr_head": "head"}


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    lines: tuple[Line, ...]


def tables(run: Path) -> list[Path]:
    """The run's table, or those of its members where several networks were averaged."""
    return [path for path in (run / FILE, *sorted(run.glob(f"member-*/{FILE}"))) if path.is_file()]


def learning_curves(run: Path) -> tuple[Panel, ...]:
    """Loss, accuracy, AUC and learning rate over the epochs, of several members their mean; empty columns are left out.

    Raises:
        ConfigurationError: ``run`` has no metrics.csv, or it is no such table.
    """
    points: dict[str, dict[int, list[float]]] = {}
    for path in tables(run):
        for name, epoch, value in _cells(path):
            points.setdefault(name, {}).setdefault(epoch, []).append(value)
    if not points:
        raise ConfigurationError(f"{run} is no folder of a training run: it has no readable {FILE}")
    columns = {name: [(epoch, fmean(found)) for epoch, found in course.items()] for name, course in points.items()}
    panels = (
        Panel(title, tuple(_line(name, points) for name, points in columns.items() if points and _is_of(name, mark)))
        for title, mark in _PANELS.items()
    )
    return tuple(panel for panel in panels if panel.lines)


def _cells(path: Path) -> Iterator[tuple[str, int, float]]:
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield from ((name, int(row["epoch"]), float(value)) for name, value in row.items() if value)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigurationError(f"{path} is no table of a training run: it needs numbers and a column epoch") from exc


def _is_of(column: str, mark: str) -> bool:
    return column.startswith(mark) if mark == "lr" else mark in column


def _line(column: str, points: list[tuple[int, float]]) -> Line:
    name = column.removesuffix("_epoch")
    for part, word in (("train_", "training "), ("val_", "validation "), ("loss", ""), ("accuracy", ""), ("auc", "")):
        name = name.replace(part, word)
    words = _PLAIN.get(column) or name.replace("_", " ").strip()
    return Line(" ".join(words.split()), *zip(*points, strict=True))
