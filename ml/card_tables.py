"""Rows of the model card's tables, each from one input file. What a file does not say is left out, never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError

Values = Mapping[str, Any]
"""A parsed JSON object."""

NOT_MEASURED = "*Not measured.*"
_NAMES = {
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "ece": "ECE",
    "brier": "Brier score",
}


def read_values(path: Path, *keys: str) -> dict[str, Any]:
    """The object in a JSON file, which must have these keys.

    Raises:
        ConfigurationError: there is no such file, or it holds something else.
    """
    values = _read_json(path)
    if not isinstance(values, dict) or not set(keys) <= set(values):
        raise ConfigurationError(f"{path} must be a JSON object with {', '.join(keys)}: is it the right file?")
    return values


def read_timings(path: Path) -> list[Values]:
    """What ``pneumo bench inference --json`` printed. Raises ConfigurationError."""
    timings = _read_json(path)
    if not isinstance(timings, list) or not all({"what", "batch", "milliseconds"} <= set(row) for row in timings):
        raise ConfigurationError(f"{path} must be what `pneumo bench inference --json` printed")
    return timings


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} cannot be read as JSON: {exc}") from exc


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """As GitHub reads it, numbers to the right by the first row; NOT_MEASURED without a row."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return NOT_MEASURED
    rule = ["---", *("---:" if cell[:1].isdigit() else "---" for cell in cells[0][1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *cells))


def figures(evaluation: Values) -> str:
    intervals = evaluation.get("ci", {})
    rows = [
        (name, _with_interval(evaluation[key], intervals.get(key))) for key, name in _NAMES.items() if key in evaluation
    ]
    return table(("figure", "value (95 % interval)"), rows)


def confusion(evaluation: Values) -> str:
    if "confusion" not in evaluation:
        return NOT_MEASURED
    (tn, fp), (fn, tp) = evaluation["confusion"]
    return table(("", "called negative", "called positive"), (("normal images", tn, fp), ("pneumonia images", fn, tp)))


def copies(groups: Mapping[str, Values | None]) -> str:
    """One row for each group of images that a summary was made of."""
    rows = [
        (name, *(figures.get(key) for key in ("auc", "sensitivity", "specificity")))
        for name, figures in groups.items()
        if figures
    ]
    return table(("images", "AUC", "sensitivity", "specificity"), rows)


def subgroups(evaluation: Values) -> str:
    keys = ("auc", "sensitivity", "specificity")
    rows = [
        (
            f"{part['group']}: {part['name']}",
            part["normal"],
            part["pneumonia"],
            *(_with_interval(part.get(key), part.get("ci", {}).get(key)) for key in keys),
        )
        for part in evaluation.get("subgroups", ())
    ]
    return table(("images", "normal", "pneumonia", "AUC", "sensitivity", "specificity"), rows)


def operating_points(evaluation: Values) -> str:
    keys = ("threshold", "sensitivity", "specificity", "accuracy", "ppv", "npv")
    rows = [(point["name"], *(point[key] for key in keys)) for point in evaluation.get("operating_points", ())]
    return table(("threshold", "value", "sensitivity", "specificity", "accuracy", "PPV", "NPV"), rows)


def differences(comparison: Values) -> str:
    """This model less another one on the same images."""
    rows = [
        (_NAMES[key], f"{value:+.3f}", "{:+.3f} to {:+.3f}".format(*comparison["ci"][key]))
        for key, value in comparison["differences"].items()
        if key in _NAMES
    ]
    return table(("figure", "difference", "95 % interval"), rows)


def gate(parts: Sequence[Values], verdict: str) -> str:
    """``verdict`` is what should become of these images: ``accepted`` or ``refused``."""
    rows = [(part["kind"], part["n"], part[verdict], f"{part[verdict] / part['n']:.1%}") for part in parts]
    return table(("images", "number", verdict, "share"), rows)


def speed(timings: Sequence[Values]) -> str:
    batches = sorted({timing["batch"] for timing in timings})
    by_what: dict[str, dict[int, float]] = {}
    for timing in timings:
        by_what.setdefault(timing["what"], {})[timing["batch"]] = timing["milliseconds"]
    rows = [
        (what, *(f"{found[batch]:.1f}" if batch in found else "" for batch in batches))
        for what, found in by_what.items()
    ]
    return table(("milliseconds per image", *(f"batch {batch}" for batch in batches)), rows)


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
