from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cli import evaluation_commands, training_commands
from core.errors import ConfigurationError
from tests.ml.conftest import radiograph

app = typer.Typer()
app.command()(training_commands.train)
app.command()(evaluation_commands.evaluate)
run = CliRunner().invoke


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    for number in range(8):
        folder = root / ("PNEUMONIA" if number % 2 else "NORMAL")
        folder.mkdir(exist_ok=True)
        image = Image.fromarray((radiograph(number, 120 + 30 * number, 200) * 255).astype(np.uint8))
        image.save(folder / f"patient-{number}.{'JPEG' if number < 4 else 'png'}")
    return root


def test_evaluate_prints_stable_json(folders: Path, weights: Path) -> None:
    result = run(app, ["evaluate", "--data", str(folders), "--model", str(weights), "--json"])
    assert result.exit_code == 0, result.output
    fields = json.loads(result.stdout)
    assert fields["n"] == 8
    assert fields["threshold"] == 0.5
    assert np.array(fields["confusion"]).sum() == 8


def test_evaluate_prints_a_table_without_file_names(folders: Path, weights: Path) -> None:
    result = run(app, ["evaluate", "--data", str(folders), "--model", str(weights)])
    assert result.exit_code == 0, result.output
    for word in ("auc", "sensitivity", "specificity", "ece", "threshold", "8 images"):
        assert word in result.stdout
    assert "patient-" not in result.output


def test_an_unusable_folder_is_a_clear_error(tmp_path: Path, weights: Path) -> None:
    result = run(app, ["evaluate", "--data", str(tmp_path), "--model", str(weights)])
    assert isinstance(result.exception, ConfigurationError)
    assert "NORMAL and PNEUMONIA" in str(result.exception)


def test_train_names_the_recipes_there_are(folders: Path) -> None:
    result = run(app, ["train", "vgg", "--data", str(folders)])
    assert isinstance(result.exception, ConfigurationError)
    assert "mobilenet_v2" in str(result.exception)
