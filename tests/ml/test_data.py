from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest

from core.errors import ConfigurationError
from ml.data import Sample, Split, load_images, split_by_patient
from ml.holdout import held_out_samples, hold_out
from ml.preprocessing import Preprocessing


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


def test_a_leak_in_the_data_s_own_split_stops_the_run() -> None:
    samples = [Sample(part, 0, "one", _unread, part=part) for part in ("train", "validation")]
    with pytest.raises(ConfigurationError, match="1 patients are in training and in validation"):
        split_by_patient(samples, parts=8, seed=0)


def test_too_few_patients_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="found 3"):
        split_by_patient(_samples(3), parts=8, seed=0)


def test_a_series_is_held_out_whole() -> None:
    names = ["IM-0115-0001.jpeg", "IM-0116-0001.jpeg", "NORMAL2-IM-0383-0001.jpeg", "NORMAL2-IM-0384-0001.jpeg"]
    normal = [Sample(name, 0, name, _unread) for name in names]
    ill = [Sample(f"person{n}_virus_1.jpeg", 1, f"person{n}", _unread) for n in (1, 2, 30, 40)]
    split = hold_out([*normal, *ill], "series", seed=0)
    assert [s.name for s in split.train] == [*names[:2], "person30_virus_1.jpeg", "person40_virus_1.jpeg"]
    assert [s.name for s in split.validation] == [*names[2:], "person1_virus_1.jpeg", "person2_virus_1.jpeg"]
    with pytest.raises(ConfigurationError, match="--hold-out patients"):
        hold_out(_samples(9), "series", seed=0)


def test_images_are_squared_and_kept_as_bytes() -> None:
    samples = [Sample("a", 0, "a", lambda: np.full((30, 50), 0.2, np.float32))]
    images = load_images(samples, Preprocessing(size=32))
    assert images.shape == (1, 1, 32, 32)
    assert (images == 51).all()


def test_what_a_training_held_out_is_found_again() -> None:
    samples = _samples(40)
    validation = hold_out(samples, "patients", seed=3).validation
    provenance = {"hold_out": "patients", "seed": 3, "validation_data": {"images": len(validation)}}
    assert held_out_samples(samples, provenance) == list(validation)
    with pytest.raises(ConfigurationError, match="needs the data the model was trained on"):
        held_out_samples(_samples(24), provenance)
    with pytest.raises(ConfigurationError, match="does not say what was held out"):
        held_out_samples(samples, {})
