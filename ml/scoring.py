"""Labelled radiographs past one or several models, read once and a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.records import Prediction
from ml.classifier import Classifier
from ml.data import Sample
from ml.figures import Labels, Numbers

BATCH = 16


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model said of each image, in the samples' order. No image is kept."""

    samples: tuple[Sample, ...]
    probabilities: Numbers
    """(N,) of pneumonia, calibrated."""
    classes: tuple[str, ...]
    """Names of the classes the model tells apart, normal first; empty where it says pneumonia alone."""
    shares: Numbers
    """(N, classes) calibrated probability of each."""
    heatmaps: npt.NDArray[np.float32]
    """(N, h, w), the size of the last feature map."""
    pixels: npt.NDArray[np.int64]
    """(N,) rows times columns of the image as it was read."""

    @property
    def labels(self) -> Labels:
        return np.array([sample.label for sample in self.samples])

    @property
    def patients(self) -> list[str]:
        return [sample.patient for sample in self.samples]


def score(
    samples: Sequence[Sample], classifiers: Sequence[Classifier], progress: Callable[[int], None]
) -> list[Scores]:
    """One for each model, over the same road as in service; ``progress`` hears how many images each batch had."""
    said: list[list[Prediction]] = [[] for _ in classifiers]
    maps: list[list[npt.NDArray[np.float32]]] = [[] for _ in classifiers]
    pixels: list[int] = []
    for start in range(0, len(samples), BATCH):
        images = [sample.read() for sample in samples[start : start + BATCH]]
        for which, classifier in enumerate(classifiers):
            for prediction, heatmap in classifier.classify(images):
                said[which].append(prediction)
                maps[which].append(heatmap.values)
        pixels += [image.size for image in images]
        progress(len(images))
    return [
        Scores(
            samples=tuple(samples),
            probabilities=np.array([prediction.probability for prediction in predictions]),
            classes=tuple(name for name, _ in predictions[0].classes),
            shares=np.array([[share for _, share in prediction.classes] for prediction in predictions]),
            heatmaps=np.stack(heatmaps),
            pixels=np.array(pixels),
        )
        for predictions, heatmaps in zip(said, maps, strict=True)
    ]
