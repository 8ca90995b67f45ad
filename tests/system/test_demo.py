"""`pneumo demo`, as `make demo` runs it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from cli.phantom import SAMPLES, draw
from tests.cli.commands import pneumo


def test_every_sample_comes_back_with_its_picture_and_report(tmp_path: Path) -> None:
    done = pneumo(tmp_path, "demo", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [row["patient_id"] for row in shown["images"]] == [sample.patient_id for sample in SAMPLES]
    assert {row["outcome"] for row in shown["images"]} == {"positive", "negative"}
    assert {(row["secondary_captures"], row["reports"]) for row in shown["images"]} == {(1, 1)}
    assert all(row["seconds"] > 0 for row in shown["images"])
    overlays = sorted((tmp_path / shown["overlays"]).iterdir())
    assert [path.name for path in overlays] == [
        f"{number:02}-{row['outcome']}.png" for number, row in enumerate(shown["images"], start=1)
    ]
    assert len(list((tmp_path / shown["pacs"]).iterdir())) == 2 * len(SAMPLES)


def test_pictures_of_ones_own_walk_the_same_road(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    Image.fromarray(draw(1, pneumonia=False, rows=560, columns=800)).save(films / "film.png")
    (films / "notes.txt").write_text("no image")
    done = pneumo(tmp_path, "demo", "--data", str(films), "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["images"]
    assert (row["secondary_captures"], row["reports"]) == (1, 1)
    assert row["warnings"] == ["age_unknown"]
    (overlay,) = (tmp_path / json.loads(done.stdout)["overlays"]).iterdir()
    with Image.open(overlay) as picture:
        assert picture.mode == "RGB"


def test_a_folder_without_images_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = pneumo(tmp_path, "demo", "--data", str(tmp_path / "notes.txt"))
    assert done.returncode == 2
    assert "holds no DICOM, JPEG or PNG file" in done.stderr
