"""The course of a training run, from its ``metrics.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

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


def learning_curves(run: Path) -> tuple[Panel, ...]:
    """Loss, accuracy, AUC and learning rate over the epochs; what the table does not hold is left out.

    Raises:
        ConfigurationError: ``run`` has no metrics.csv, or it is no such table.
    """
    path = run / FILE
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        epochs = [int(row["epoch"]) for row in rows]
        columns = {
            name: [(epoch, float(row[name])) for epoch, row in zip(epochs, rows, strict=True) if row[name]]
            for name in (rows[0] if rows else ())
        }
    except OSError as exc:
        raise ConfigurationError(f"{run} is no folder of a training run: it has no readable {FILE}") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigurationError(f"{path} is no table of a training run: it needs numbers and a column epoch") from exc
    panels = (
        Panel(title, tuple(_line(name, points) for name, points in columns.items() if points and _is_of(name, mark)))
        for title, mark in _PANELS.items()
    )
    return tuple(panel for panel in panels if panel.lines)


def _is_of(column: str, mark: str) -> bool:
    return column.startswith(mark) if mark == "lr" else mark in column


def _line(column: str, points: list[tuple[int, float]]) -> Line:
    name = column.removesuffix("_epoch")
    for part, word in (("train_", "training "), ("val_", "validation "), ("loss", ""), ("accuracy", ""), ("auc", "")):
        name = name.replace(part, word)
    words = _PLAIN.get(column) or name.replace("_", " ").strip()
    return Line(" ".join(words.split()), *zip(*points, strict=True))
