"""The model card (Mitchell et al. 2019, doi:10.1145/3287560.3287596), written from the record and the measurements.

The words are in ``templates/model_card.md.j2``. Numbers come from files only; a missing file leaves "not measured".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.errors import ConfigurationError
from ml import card_tables
from ml.card_tables import NOT_MEASURED, Values
from ml.tries import Try, tries_table, what_validation_said
from ml.weights import WeightsRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CardInputs:
    """Raises ConfigurationError where the evaluation is another model's."""

    weights: Path
    record: WeightsRecord
    device_uid: str
    evaluation: Values | None = None
    gate: Values | None = None
    speed: Sequence[Values] = ()
    tries: Sequence[Try] = ()

    def __post_init__(self) -> None:
        if self.evaluation and self.evaluation["model"] != asdict(self.record.identity):
            raise ConfigurationError(
                f"the evaluation is not of {self.record.name} {self.record.version} at threshold "
                f"{self.record.threshold:.4f}: run `pneumo evaluate --plots` with this model"
            )


def write_card(inputs: CardInputs) -> str:
    """The card as Markdown."""
    record = inputs.record
    environment = Environment(
        loader=PackageLoader("ml"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, from files of our own
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.j2").render(
        record=record,
        provenance=record.provenance,
        calibration=record.provenance.get("calibration"),
        validation=record.metrics.get("validation", {}),
        outputs=", ".join(record.labels[1:]) if len(record.labels) > 2 else "",
        not_measured=NOT_MEASURED,
        weights_name=inputs.weights.name,
        megabytes=f"{inputs.weights.stat().st_size / 1e6:.1f}",
        device_uid=inputs.device_uid,
        counts=_counts(record.provenance),
        evaluation=inputs.evaluation,
        tables=card_tables,
        swapped="swaps" in record.metrics,
        copies=card_tables.copies(_groups(record.metrics)),
        said=what_validation_said(inputs.tries),
        tries=tries_table(inputs.tries, record.version),
        gate=inputs.gate,
        speed=inputs.speed,
        origin=_origin(record.provenance),
        commands=_commands(record),
    )


def _counts(provenance: Values) -> str:
    parts = {"training": provenance.get("training_data"), "validation": provenance.get("validation_data")}
    keys = ("patients", "images", "NORMAL", "PNEUMONIA")
    return card_tables.table(
        ("", "patients", "images", "normal", "pneumonia"),
        [(name, *(counts.get(key) for key in keys)) for name, counts in parts.items() if counts],
    )


def _groups(metrics: Values) -> dict[str, Values | None]:
    return {
        **metrics.get("stress_copies", {}),
        **metrics.get("swaps", {}),
        "against the grain": metrics.get("against_the_grain"),
        "acquisition alone": metrics.get("acquisition_alone"),
    }


def _origin(provenance: Values) -> list[tuple[str, str]]:
    recipe = provenance.get("recipe", {})
    software = ", ".join(f"{name} {version}" for name, version in provenance.get("software", {}).items())
    options = ", ".join(
        f"{key} {value}"
        for key, value in recipe.items()
        if key not in ("name", "version", "augmentation", "preprocessing")
    )
    rows = {
        "recipe": f"{recipe.get('name')} {recipe.get('version')}" if recipe else "",
        "options": options,
        "epochs": str(provenance.get("epochs", "")),
        "seed": str(provenance.get("seed", "")),
        "software": software,
    }
    return [(name, value) for name, value in rows.items() if value]


def _commands(record: WeightsRecord) -> str:
    provenance = record.provenance
    start = str(provenance.get("initial_weights", ""))
    options = {
        "--init": "none" if start == "random" else start if Path(start).suffix in (".safetensors", ".pth") else "",
        "--hold-out": "series" if provenance.get("hold_out") == "series" else "",
        "--seed": provenance.get("seed", ""),
    }
    given = "".join(f" {option} {value}" for option, value in options.items() if value != "")
    return "\n".join((
        f"pneumo train {record.name} --data DIR{given} --out runs/NAME",
        "pneumo evaluate --data DIR --plots evaluation",
        "pneumo bench gate --data DIR --json > gate.json",
        "pneumo bench inference --json > bench.json",
        "pneumo models card --evaluation evaluation/evaluation.json --gate gate.json --bench bench.json --runs runs",
    ))  # fmt: skip
