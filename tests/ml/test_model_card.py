from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import card_commands
from core.errors import ConfigurationError
from dicom.identity import device_uid
from ml.card_tables import NOT_MEASURED, table
from ml.tries import read_tries, tries_table, what_validation_said
from ml.weights import DEFAULT_WEIGHTS, WeightsRecord, load_record

app = typer.Typer()
app.command()(card_commands.card)
CARD = Path(__file__).parents[2] / "docs" / "model_card.md"
TIMINGS = [
    {"what": "plain network", "batch": 1, "milliseconds": 12.34},
    {"what": "plain network", "batch": 16, "milliseconds": 23.45},
]


def _card(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _run(folder: Path, name: str, *, plain: float, worst: float, against: float | None = None, **changes: Any) -> None:
    """A run.json as the trainer writes it."""

    def summary(auc: float) -> dict[str, float]:
        return {"n": 652, "auc": auc, "accuracy": 0.9, "sensitivity": 0.91, "specificity": 0.92}

    run = {
        "recipe": "mobilenet_v2", "version": f"1.0+{name}", "hold_out": "patients", "seed": 0, "limit": None,
        "initial_weights": "imagenet.safetensors", "images": {"train": 4564, "validation": 652},
        "epochs": 5, "minutes": 33.3, "options": {"dropout": 0.2, "mixup_alpha": 0.2, "augmentation": "Compose(" * 20},
        "ece": {"ece_before": 0.2, "ece_after": 0.01},
        "figures": {
            "plain": summary(plain),
            "stress_copies": {"plain": summary(plain), "blurred": summary(worst), "dark": summary(0.99)},
            "swaps": {"swapped frame": summary(0.985)},
            "acquisition_alone": summary(0.9),
            "against_the_grain": summary(against) if against else None,
        },
        **changes,
    }  # fmt: skip
    (folder / name).mkdir(parents=True)
    (folder / name / "run.json").write_text(json.dumps(run))


def _evaluation(record: WeightsRecord, *, auc: float) -> dict[str, Any]:
    """An evaluation.json, as far as the card reads it."""
    return {
        "model": asdict(record.identity), "threshold": record.threshold,
        "data": {"name": "other-hospital", "images": 96, "patients": 90, "normal": 48, "pneumonia": 48},
        "n": 96, "auc": auc, "sensitivity": 0.9, "confusion": [[40, 8], [5, 43]], "ci": {"auc": [0.971, 0.999]},
        "before_calibration": {"ece": 0.111}, "reliability": {"ece": 0.022},
        "subgroups": [
            {"group": "kind of pneumonia", "name": "virus", "normal": 48, "pneumonia": 11, "auc": 0.9,
             "sensitivity": 0.8, "specificity": None, "ci": {"auc": [0.85, 0.95]}},
        ],
        "operating_points": [
            {"name": "Youden", "shipped": False, "threshold": 0.61, "sensitivity": 0.93, "specificity": 0.94,
             "accuracy": 0.935, "ppv": 0.9, "npv": None},
        ],
        "comparison": {"other": "older 0.9", "differences": {"auc": 0.012}, "ci": {"auc": [-0.001, 0.025]},
                       "delong": {"p": 0.0712}},
    }  # fmt: skip


def test_the_committed_card_is_of_the_shipped_model() -> None:
    record = load_record(DEFAULT_WEIGHTS)
    card = CARD.read_text()
    for fact in (record.digest, record.version, device_uid(record.identity), f"{record.threshold:.4f}"):
        assert fact in card, "docs/model_card.md is of another model: run `pneumo models card` with its measurements"


def test_what_nobody_measured_is_said_so(weights: Path, tmp_path: Path) -> None:
    assert _card("--model", weights, "--out", tmp_path / "docs" / "card.md").exit_code == 0
    card = (tmp_path / "docs" / "card.md").read_text()
    for heading in (
        "On the validation patients",
        "On the images given to `pneumo evaluate`",
        "What was tried",
        "Speed",
    ):
        section = card.split(f"## {heading}\n")[1].split("\n#")[0]
        assert NOT_MEASURED in section, heading
    assert load_record(weights).digest in card


def test_the_card_shows_what_was_measured(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(TIMINGS))
    evaluation = _evaluation(load_record(weights), auc=0.98765)
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    gate = {
        "acceptance": [{"kind": "held-out radiographs", "n": 652, "accepted": 646}],
        "refusal": [{"kind": "CT", "n": 20, "refused": 19}],
    }
    (tmp_path / "gate.json").write_text(json.dumps(gate))
    _run(tmp_path / "runs", "first", plain=0.998, worst=0.95)
    _run(tmp_path / "runs", "second", plain=0.997, worst=0.97)
    made = _card(
        "--model", weights, "--bench", tmp_path / "bench.json", "--evaluation", tmp_path / "evaluation.json",
        "--gate", tmp_path / "gate.json", "--runs", tmp_path / "runs", "--out", tmp_path / "card.md",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    card = (tmp_path / "card.md").read_text()
    assert "| plain network | 12.3 | 23.4 |" in card
    assert "| AUC | 0.988 (0.971 to 0.999) |" in card
    assert "| pneumonia images | 5 | 43 |" in card
    assert '"other-hospital": 96 images of 90 patients' in card
    assert "| kind of pneumonia: virus | 48 | 11 | 0.900 (0.850 to 0.950) | 0.800 |  |" in card
    assert "| Youden | 0.610 | 0.930 | 0.940 | 0.935 | 0.900 |  |" in card
    assert "on these images was 0.111" in card
    assert "less older 0.9, on these images (AUC: DeLong p = 0.0712)" in card
    assert "| AUC | +0.012 | -0.001 to +0.025 |" in card
    assert "| held-out radiographs | 652 | 646 | 99.1% |" in card
    assert "| CT | 20 | 19 | 95.0% |" in card
    assert "(best: first)" in card
    assert "(best: second)" in card


def test_runs_stand_side_by_side(tmp_path: Path) -> None:
    _run(tmp_path, "a", plain=0.998, worst=0.95, against=0.90)
    _run(tmp_path, "b", plain=0.997, worst=0.97, against=0.93, options={"dropout": 0.5, "mixup_alpha": 0.2})
    head, _, first, second = tries_table(read_tries(tmp_path), "1.0+a").splitlines()
    assert "unlike the shipped run" in head
    assert "**a** (shipped)" in first
    assert "blurred" in first
    assert "dropout 0.5" in second
    assert "mixup_alpha" not in second
    _run(tmp_path, "c", plain=0.7, worst=0.6, images={"train": 160, "validation": 160})
    (said,) = what_validation_said(read_tries(tmp_path))
    assert said.startswith("2 runs on 4564 images from imagenet.safetensors, held out by patients: AUC ")
    assert "0.997 to 0.998 on the plain images (best: a)" in said
    assert "0.950 to 0.970 on the worst of the changed copies (best: b)" in said
    assert "0.900 to 0.930" in said


def test_another_models_evaluation_is_refused(weights: Path, tmp_path: Path) -> None:
    other = _evaluation(load_record(DEFAULT_WEIGHTS), auc=0.9)
    (tmp_path / "evaluation.json").write_text(json.dumps(other))
    failure = _card("--model", weights, "--evaluation", tmp_path / "evaluation.json", "--out", tmp_path / "x").exception
    assert isinstance(failure, ConfigurationError)
    assert "run `pneumo evaluate --plots` with this model" in str(failure)


@pytest.mark.parametrize(("option", "content"), [("--bench", "{}"), ("--evaluation", "[]"), ("--bench", "no JSON")])
def test_a_wrong_file_is_named(option: str, content: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text(content)
    failure = _card("--model", weights, option, tmp_path / "wrong.json", "--out", tmp_path / "card.md").exception
    assert isinstance(failure, ConfigurationError)
    assert "wrong.json" in str(failure)


def test_a_folder_without_runs_is_said_so(weights: Path, tmp_path: Path) -> None:
    failure = _card("--model", weights, "--runs", tmp_path, "--out", tmp_path / "card.md").exception
    assert isinstance(failure, ConfigurationError)
    assert "holds a run.json" in str(failure)


def test_cells_cannot_break_a_table() -> None:
    assert table(("a", "b"), [("x|y", 0.5)]).splitlines()[2] == "| x\\|y | 0.500 |"
