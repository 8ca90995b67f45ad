from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cli import training_commands
from core.errors import ConfigurationError
from tests.ml.conftest import radiograph

app = typer.Typer()
app.command()(training_commands.train)
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


def test_train_names_the_recipes_there_are(folders: Path) -> None:
    result = run(app, ["vgg", "--data", str(folders)])
    assert isinstance(result.exception, ConfigurationError)
    assert "mobilenet_v2" in str(result.exception)
