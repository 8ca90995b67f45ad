"""Samples, splits that keep each patient whole, and the tensors a training run works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedGroupKFold

from core.errors import ConfigurationError
from ml.preprocessing import Preprocessing

CLASSES = ("NORMAL", "PNEUMONIA")


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled radiograph, not yet read."""

    name: str
    """Shown in error lists: the file's name, or its place in an archive."""
    label: int
    """Index into CLASSES."""
    patient: str
    read: Callable[[], npt.NDArray[np.float32]]
    """The image as (H, W) float32 in [0, 1], high is white. Raises ConfigurationError."""
    subgroup: str = ""
    """What the data says beyond the label: ``bacteria``, ``virus``; empty when it says nothing."""
    part: str = ""
    """``train``, ``validation`` or ``test`` where the data itself is split; else empty."""


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


def split_by_patient(samples: Sequence[Sample], *, parts: int, seed: int) -> Split:
    """The data's own split, or else one ``parts``-th of the patients held out, both classes in proportion. Seeded.

    Raises:
        ConfigurationError: too few patients for such a split, or a patient on both sides of the data's own.
    """
    if any(sample.part for sample in samples):
        own = {part: tuple(s for s in samples if s.part == part) for part in ("train", "validation")}
        if not own["train"] or not own["validation"]:
            raise ConfigurationError("the data is split already, and its training or validation part is empty")
        return Split(**own)
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
        slot[0] = np.rint(preprocessing.square(sample.read()) * 255.0)
    return torch.from_numpy(images)
