from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from core.errors import ConfigurationError
from ml.data import Sample, Split, load_images, split_by_patient
from ml.preprocessing import Preprocessing
from ml.readers import patient_of, read_class_folders
from tests.services import require_images


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1000_bacteria_2931.jpeg", "person1000"),
        ("person1000_virus_12_3.jpeg", "person1000"),
        ("IM-0115-0001.jpeg", "im-0115"),
        ("IM-0608-0001-0001.jpeg", "im-0608"),
        ("NORMAL2-IM-0383-0001.jpeg", "normal2-im-0383"),
        ("NORMAL2-IM-0115-0001.jpeg", "normal2-im-0115"),
        ("somebody.png", "somebody"),
    ],
)
def test_file_names_carry_the_patient(name: str, patient: str) -> None:
    assert patient_of(Path(name)) == patient


def _unread() -> NoReturn:
    raise AssertionError("a split reads no image")


def _samples(patients: int, images: int = 3) -> list[Sample]:
    return [
        Sample(f"{label}-{patient}-{image}", label, f"{label}-{patient}", _unread)
        for label in (0, 1)
        for patient in range(patients)
        for image in range(images)
    ]


def test_a_split_keeps_patients_whole_and_classes_in_proportion() -> None:
    samples = _samples(40)
    split = split_by_patient(samples, parts=8, seed=3)
    assert sorted([*split.train, *split.validation], key=lambda s: s.name) == sorted(samples, key=lambda s: s.name)
    assert not {s.patient for s in split.train} & {s.patient for s in split.validation}
    assert sum(s.label for s in split.validation) * 2 == len(split.validation) == len(samples) // 8


def test_the_seed_decides_the_split() -> None:
    samples = _samples(40)
    assert split_by_patient(samples, parts=8, seed=1) == split_by_patient(samples, parts=8, seed=1)
    assert split_by_patient(samples, parts=8, seed=1) != split_by_patient(samples, parts=8, seed=2)


def test_a_leak_stops_the_run() -> None:
    sample = Sample("a", 0, "person1", _unread)
    with pytest.raises(ConfigurationError, match="1 patients are in training and in validation"):
        Split(train=(sample,), validation=(Sample("b", 0, "person1", _unread),))


def test_too_few_patients_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="found 3"):
        split_by_patient(_samples(3), parts=8, seed=0)


def test_class_folders_take_any_size_and_spelling_of_suffix(tmp_path: Path) -> None:
    files = (("NORMAL", "a.JPG", (30, 50)), ("NORMAL", "b.Png", (400, 300)), ("PNEUMONIA", "c.jpeg", (9, 9)))
    for folder, name, shape in files:
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full(shape, 51, np.uint8)).save(tmp_path / folder / name)
    (tmp_path / "NORMAL" / "notes.txt").write_text("no image")
    samples = read_class_folders(tmp_path)
    assert [(s.name, s.label) for s in samples] == [("a.JPG", 0), ("b.Png", 0), ("c.jpeg", 1)]
    images = load_images(samples, Preprocessing(size=32))
    assert images.shape == (3, 1, 32, 32)
    assert (images == 51).all()


def test_folders_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NORMAL is missing"):
        read_class_folders(tmp_path)
    (tmp_path / "NORMAL").mkdir()
    with pytest.raises(ConfigurationError, match="holds no image"):
        read_class_folders(tmp_path)


def test_the_public_data_split_by_patient() -> None:
    samples = read_class_folders(require_images() / "chest_xray" / "train")
    assert len(samples) == 5216
    split = split_by_patient(samples, parts=8, seed=0)
    share = len(split.validation) / len(samples)
    assert 0.11 < share < 0.14
