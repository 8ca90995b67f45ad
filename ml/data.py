"""Class folders of radiographs, and splits that keep each patient whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch.utils.data import Dataset

from core.errors import ConfigurationError
from ml.preprocessing import Preprocessing, read_image

CLASSES = ("NORMAL", "PNEUMONIA")
SUFFIXES = (".jpg", ".jpeg", ".png")

# File names of "Chest X-Ray Images (Pneumonia)". The same number after IM- and after NORMAL2-IM- may or may not be one
# person; they are taken for two, as the series were collected apart.
_PATIENT = re.compile(r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sample:
    path: Path
    label: int
    """Index into CLASSES."""
    patient: str


@dataclass(frozen=True, slots=True)
class Split:
    """Training and validation samples that share no patient; a leak is an error from the start."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]

    def __post_init__(self) -> None:
        shared = {sample.patient for sample in self.train} & {sample.patient for sample in self.validation}
        if shared:
            raise ConfigurationError(
                f"{len(shared)} patients are in training and in validation: a split must keep each patient whole"
            )


def patient_of(path: Path) -> str:
    """The patient a file name speaks of; a name of another form stands for a patient of its own."""
    match = _PATIENT.match(path.name)
    return (match[1] or match[2]).lower() if match else path.stem


def read_class_folders(folder: Path) -> list[Sample]:
    """Every JPEG and PNG in NORMAL/ and PNEUMONIA/ under ``folder``, in the order of their names.

    Raises:
        ConfigurationError: a class folder is missing or holds no image.
    """
    samples = []
    for label, name in enumerate(CLASSES):
        directory = folder / name
        if not directory.is_dir():
            raise ConfigurationError(f"{folder} must hold the folders {' and '.join(CLASSES)}, {name} is missing")
        paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise ConfigurationError(f"{directory} holds no image; expected files ending in {', '.join(SUFFIXES)}")
        samples += [Sample(path, label, patient_of(path)) for path in paths]
    return samples


def split_by_patient(samples: Sequence[Sample], *, parts: int, seed: int) -> Split:
    """Hold out about one ``parts``-th of the patients, both classes in proportion. Seeded.

    Raises:
        ConfigurationError: too few patients for such a split.
    """
    labels = [sample.label for sample in samples]
    fewest = min(len({s.patient for s in samples if s.label == label}) for label in range(len(CLASSES)))
    if fewest < parts:
        raise ConfigurationError(f"a split into {parts} parts needs {parts} patients of each class, found {fewest}")
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    train, validation = next(folds.split(labels, labels, [sample.patient for sample in samples]))
    return Split(tuple(samples[i] for i in train), tuple(samples[i] for i in validation))


def load_images(samples: Sequence[Sample], preprocessing: Preprocessing) -> torch.Tensor:
    """(N, 1, size, size) uint8, all in memory: 5,000 images of 224 x 224 are 250 MB and cost no decoding later."""
    images = np.empty((len(samples), 1, preprocessing.size, preprocessing.size), dtype=np.uint8)
    for slot, sample in zip(images, samples, strict=True):
        slot[0] = np.rint(preprocessing.square(read_image(sample.path)) * 255.0)
    return torch.from_numpy(images)


class Radiographs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """(1, H, W) float32 in [0, 1] and its label (int64), through a transform of (1, H, W) uint8."""

    def __init__(
        self, images: torch.Tensor, labels: torch.Tensor, transform: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        self._images, self._labels, self._transform = images, labels, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._transform(self._images[index]), self._labels[index]
