"""What was tried: the ``run.json`` of every training run in a folder, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError
from ml.card_tables import Values, read_values, table

_KEYS = (
    "recipe", "version", "hold_out", "seed", "initial_weights", "images", "epochs", "minutes",
    "options", "ece", "figures",
)  # fmt: skip
_LONGEST_OPTION = 40
"""Characters; longer values (an augmentation) are only named."""


@dataclass(frozen=True, slots=True)
class Try:
    name: str
    """Of its folder."""
    run: Values

    @property
    def plain_auc(self) -> float:
        return float(self.run["figures"]["plain"]["auc"])

    @property
    def worst_copy(self) -> tuple[str, float]:
        """The changed copy of the validation images with the lowest AUC."""
        figures = self.run["figures"]
        copies = {**figures["stress_copies"], **(figures.get("swaps") or {})}
        return min(((name, float(values["auc"])) for name, values in copies.items()), key=lambda pair: pair[1])

    @property
    def against(self) -> tuple[float | None, float | None]:
        """AUC and specificity on the normal images that were acquired like pneumonia."""
        found = self.run["figures"].get("against_the_grain") or {}
        return found.get("auc"), found.get("specificity")


def read_tries(folder: Path) -> list[Try]:
    """In the order of their names. Raises ConfigurationError where there is none, or a run.json is none."""
    tries = [Try(path.parent.name, read_values(path, *_KEYS)) for path in sorted(folder.glob("*/run.json"))]
    if not tries:
        raise ConfigurationError(f"no folder in {folder} holds a run.json: give the folder above those of the runs")
    return tries


def tries_table(tries: Sequence[Try], shipped_version: str) -> str:
    kept = next((one for one in tries if one.run["version"] == shipped_version), None)
    head = (
        "run", "recipe", "held out", "seed", "images", "epochs", "minutes", "unlike the shipped run", "AUC, plain",
        "sensitivity", "specificity", "ECE", "AUC, worst copy", "AUC, against the grain",
        "specificity, against the grain",
    )  # fmt: skip
    rows = []
    for one in tries:
        run, plain = one.run, one.run["figures"]["plain"]
        rows.append((
            f"**{one.name}** (shipped)" if one is kept else one.name,
            run["recipe"], run["hold_out"], run["seed"], run["images"]["train"], run["epochs"],
            f"{run['minutes']:.1f}", _unlike(one, kept), one.plain_auc, plain["sensitivity"], plain["specificity"],
            run["ece"]["ece_after"], "{1:.3f} ({0})".format(*one.worst_copy), *one.against,
        ))  # fmt: skip
    return table(head, rows)


def _unlike(one: Try, kept: Try | None) -> str:
    """Which of the recipe's options differ; another recipe differs in everything."""
    if kept is None or one is kept or one.run["recipe"] != kept.run["recipe"]:
        return ""
    options, others = one.run["options"], kept.run["options"]
    changed = [
        f"{key} {value}" if len(str(value)) <= _LONGEST_OPTION else key
        for key, value in options.items()
        if value != others.get(key) and key != "version"
    ]
    if one.run["initial_weights"] != kept.run["initial_weights"]:
        changed.append(f"from {one.run['initial_weights']}")
    return ", ".join(changed)


def what_validation_said(tries: Sequence[Try]) -> list[str]:
    """How far each validation tells runs of the same images and starting weights apart, and which it keeps."""
    alike: dict[tuple[str, int, str], list[Try]] = {}
    for one in tries:
        key = one.run["hold_out"], one.run["images"]["train"], one.run["initial_weights"]
        alike.setdefault(key, []).append(one)
    return [_said(key, runs) for key, runs in alike.items() if len(runs) > 1]


def _said(alike: tuple[str, int, str], tries: Sequence[Try]) -> str:
    judges: dict[str, Callable[[Try], float | None]] = {
        "on the plain images": lambda one: one.plain_auc,
        "on the worst of the changed copies": lambda one: one.worst_copy[1],
        "on the normal images acquired like pneumonia": lambda one: one.against[0],
    }
    parts = []
    for where, auc in judges.items():
        found = {one.name: value for one in tries if (value := auc(one)) is not None}
        if found:
            best = max(found, key=lambda name: found[name])
            parts.append(f"{min(found.values()):.3f} to {max(found.values()):.3f} {where} (best: {best})")
    held_out, images, start = alike
    return f"{len(tries)} runs on {images} images from {start}, held out by {held_out}: AUC {'; '.join(parts)}."
