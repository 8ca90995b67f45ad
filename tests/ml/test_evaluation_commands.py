from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli import evaluation_commands
from core.errors import ConfigurationError
from ml.networks import Network, mobilenet_v2
from ml.preprocessing import Preprocessing
from ml.weights import digest_of, load_record, save_record
from tests.ml.conftest import radiograph
from tests.services import require_images

app = typer.Typer()
app.command()(evaluation_commands.evaluate)
CHARTS = ("confusion-matrix", "roc-curve", "precision-recall-curve", "reliability", "predictions", "grad-cam")
TWIN = "twin <b>&.png"
"""Stands in both classes with the same content, so that one of the two calls is wrong."""


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    for number in range(10):
        folder = root / ("PNEUMONIA" if number % 2 else "NORMAL")
        folder.mkdir(exist_ok=True)
        seed, height = (0, 200) if number >= 8 else (number, 120 + 30 * number)
        image = Image.fromarray((radiograph(seed, height, 200) * 255).astype(np.uint8))
        kind = ("virus" if number == 1 else "bacteria") if number % 2 else "scan"
        name = f"person{number}_{kind}_1.{'JPEG' if number < 4 else 'png'}"
        image.save(folder / (TWIN if number >= 8 else name))
    return root


@pytest.fixture(scope="module")
def etiology(network: Network, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, and a record of how they were calibrated; in the folder of its training run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    three = mobilenet_v2(Preprocessing(), 3)
    three.backbone.load_state_dict(network.backbone.state_dict())
    path = folder / "etiology.safetensors"
    save_file({key: value.contiguous() for key, value in three.state_dict().items()}, path)
    record = load_record(weights).model_copy(
        update={
            "name": "etiology",
            "labels": ("normal", "bacterial", "viral"),
            "digest": digest_of(path),
            "provenance": {"calibration": {"temperature": 1.5, "offset": 0.2, "ece_before": 0.1, "ece_after": 0.02}},
        }
    )
    save_record(record, path)
    (folder / "metrics.csv").write_text("epoch,train_loss,val_loss,val_auc,lr_head\n1,.9,.8,.6,.1\n2,.7,.6,.9,.01\n")
    return path


@pytest.fixture(scope="module")
def report(folders: Path, etiology: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "made" / "here"
    result = evaluate("--data", folders, "--model", etiology, "--against", weights, "--plots", out)
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    assert "person" not in result.output  # names of files stay in the folder
    return out


def test_json_is_stable(folders: Path, weights: Path) -> None:
    result = evaluate("--data", folders, "--model", weights, "--json")
    assert result.exit_code == 0, result.output
    fields = json.loads(result.stdout)
    assert fields["n"] == 10
    assert fields["threshold"] == 0.5
    assert np.array(fields["confusion"]).sum() == 10
    assert "comparison" not in fields


def test_the_table_has_no_file_names(folders: Path, weights: Path) -> None:
    result = evaluate("--data", folders, "--model", weights)
    assert result.exit_code == 0, result.output
    for word in ("auc", "sensitivity", "specificity", "ece", "brier", "threshold", "10 images"):
        assert word in result.stdout
    assert "person" not in result.output


def test_an_unusable_folder_is_a_clear_error(tmp_path: Path, weights: Path) -> None:
    result = evaluate("--data", tmp_path, "--model", weights)
    assert isinstance(result.exception, ConfigurationError)
    assert "NORMAL and PNEUMONIA" in str(result.exception)


def test_data_that_is_split_is_judged_by_its_test_part(tmp_path: Path, weights: Path) -> None:
    arrays = {}
    for split, count in (("train", 6), ("val", 4), ("test", 3)):
        arrays[f"{split}_images"] = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    result = evaluate("--data", tmp_path / "pneumoniamnist.npz", "--model", weights, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n"] == 3


def test_against_itself_a_model_is_no_better(folders: Path, weights: Path) -> None:
    result = evaluate("--data", folders, "--model", weights, "--against", weights, "--json")
    comparison = json.loads(result.stdout)["comparison"]
    assert set(comparison["differences"].values()) == {0.0}
    assert comparison["delong"]["p"] == 1.0
    assert [test["p"] for test in comparison["mcnemar"]] == [1.0, 1.0, 1.0]


def test_the_report_folder_is_whole(report: Path, folders: Path) -> None:
    for name in (*CHARTS, "kinds-confusion-matrix", "learning-curves"):
        with Image.open(report / f"{name}.png") as picture:
            assert min(picture.size) > 250
            # Drawn, and not a white page.
            assert np.asarray(picture.convert("L")).std() > 5
    fields = json.loads((report / "evaluation.json").read_text())
    (_, fp), (fn, _) = fields["confusion"]
    with (report / "errors.csv").open(newline="") as file:
        errors = list(csv.DictReader(file))
    assert len(errors) == fp + fn == len(fields["errors"])
    assert [row["label"] for row in errors] == ["pneumonia"] * fn + ["normal"] * fp
    assert [row["name"] for row in errors].count(TWIN) == 1
    assert fields["data"] == {"name": folders.name, "images": 10, "patients": 9, "normal": 5, "pneumonia": 5}
    assert fields["kinds"]["classes"] == ["normal", "bacterial", "viral"]
    assert fields["kinds"]["n"] == 9  # the twin names no kind
    assert {part["name"] for part in fields["subgroups"] if part["group"] == "kind of pneumonia"} == {
        "bacteria",
        "virus",
    }
    assert sum(part["normal"] for part in fields["subgroups"] if part["group"] == "image size") == 5
    assert fields["before_calibration"]["ece"] != fields["reliability"]["ece"]
    assert fields["comparison"]["other"] == "small 1"


def test_the_page_needs_nothing_beside_it(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert not re.search(r"<script|<link|https?://|url\(|\bon\w+=", page)
    sources = re.findall(r'<img src="([^"]{0,30})', page)
    assert len(sources) == len(CHARTS) + 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert TWIN not in page
    assert "twin &lt;b&gt;&amp;.png" in page
    words = " ".join(page.split())
    for heading in (
        "must not be used in service",
        "Against small 1",
        "McNemar",
        "Bacterial or viral",
        "How it was trained",
    ):
        assert heading in words


def test_what_is_not_known_is_left_out(folders: Path, weights: Path, tmp_path: Path) -> None:
    result = evaluate("--data", folders, "--model", weights, "--plots", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    fields = json.loads((tmp_path / "evaluation.json").read_text())
    assert {name: fields[name] for name in printed} == printed
    assert {path.stem for path in tmp_path.glob("*.png")} == set(CHARTS)
    assert (fields["kinds"], fields["comparison"], fields["before_calibration"]) == (None, None, None)
    words = " ".join((tmp_path / "report.html").read_text().split())
    for heading in ("Bacterial or viral", "Against", "How it was trained"):
        assert heading not in words
    assert "does not say what its probabilities were" in words
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    evaluate("--data", folders, "--model", weights, "--plots", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_a_run_is_named_with_a_report(folders: Path, weights: Path, tmp_path: Path) -> None:
    assert evaluate("--data", folders, "--model", weights, "--run", tmp_path).exit_code == 2
    result = evaluate("--data", folders, "--model", weights, "--run", tmp_path, "--plots", tmp_path / "out")
    assert isinstance(result.exception, ConfigurationError)
    assert "metrics.csv" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_on_real_radiographs(tmp_path: Path) -> None:
    result = evaluate("--data", require_images() / "chest_xray_fullsize", "--plots", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    fields = json.loads((tmp_path / "evaluation.json").read_text())
    assert fields["auc"] > 0.9
    sizes = [part for part in fields["subgroups"] if part["group"] == "image size"]
    assert len(sizes) == 3
    assert sum(part["normal"] + part["pneumonia"] for part in sizes) == fields["n"]
