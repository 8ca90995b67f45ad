from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cli.phantom import draw
from tests.cli.commands import pneumo
from tests.worker.rooms import radiograph_file


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    Image.fromarray(draw(1, pneumonia=False, rows=560, columns=800)).save(folder / "child.png")
    (folder / "child.dcm").write_bytes(radiograph_file("texture"))
    (folder / "garbage.dcm").write_bytes(b"not DICOM at all")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    return folder


def test_json_has_a_stable_line_for_every_file(films: Path, tmp_path: Path) -> None:
    names = ["child.png", "child.dcm", "garbage.dcm", "broken.png"]
    out = tmp_path / "out"
    done = pneumo(tmp_path, "analyze", *(str(films / name) for name in names), "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["files"]
    assert [Path(row["path"]).name for row in rows] == names
    for row in rows:
        assert set(row) == {
            "path", "outcome", "label", "probability", "threshold", "warnings", "reasons", "model", "outputs",
        }  # fmt: skip
    for row in rows[:2]:
        assert row["outcome"] in ("positive", "negative")
        assert (row["probability"] >= row["threshold"]) == (row["outcome"] == "positive")
        assert set(row["outputs"]) == {"overlay", "secondary_capture", "report"}
        picture = np.asarray(Image.open(row["outputs"]["overlay"]))
        assert np.array_equal(dcmread(row["outputs"]["secondary_capture"]).pixel_array, picture)
        assert dcmread(row["outputs"]["report"]).Modality == "SR"
    assert len({path for row in rows for path in row["outputs"].values()}) == 6, "outputs overwrite each other"
    assert [(row["outcome"], row["reasons"]) for row in rows[2:]] == [
        ("failed", ["unreadable_dicom"]),
        ("failed", ["unreadable_image"]),
    ]


def test_a_file_that_is_not_there_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    done = pneumo(tmp_path, "analyze", "nowhere.dcm")
    assert done.returncode == 2
    assert "nowhere.dcm" in done.stderr


def test_a_configuration_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "pneumo.toml").write_text("[worker]\nweights = 'nowhere.safetensors'\n")
    (tmp_path / "a.dcm").write_bytes(b"")
    done = pneumo(tmp_path, "analyze", "a.dcm")
    assert done.returncode == 2
    assert "nowhere.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
