"""Radiographs in, calibrated predictions and their heat maps out, in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from core.errors import ConfigurationError
from core.records import Heatmap, ModelIdentity, Prediction
from ml.explanation import METHOD, explainer_for
from ml.networks import BUILDERS, Network
from ml.weights import WeightsRecord, load_record


class Classifier:
    """A network in evaluation mode with its record. float32 throughout: bf16 would move probabilities by up to 0.01."""

    def __init__(self, network: Network, record: WeightsRecord, device: torch.device) -> None:
        self.record = record
        self.device = device
        self._network = network.requires_grad_(False).eval().to(device).to(memory_format=torch.channels_last)
        self._explain = explainer_for(network.head)

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a .safetensors file with its record beside it; on the first CUDA device where there is one.

        Raises:
            ConfigurationError: weights and record are missing, damaged or not of each other.
        """
        record = load_record(path)
        if record.architecture not in BUILDERS:
            raise ConfigurationError(f"{path}: unknown architecture {record.architecture!r}, known: {sorted(BUILDERS)}")
        network = BUILDERS[record.architecture](record.preprocessing)
        try:
            network.load_state_dict(load_file(path))
        except RuntimeError as exc:
            raise ConfigurationError(f"{path} does not fit the architecture {record.architecture}: {exc}") from exc
        return cls(network, record, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def identity(self) -> ModelIdentity:
        return self.record.identity

    def classify(self, images: Sequence[npt.NDArray[np.float32]]) -> list[tuple[Prediction, Heatmap]]:
        """One forward pass for all images.

        Args:
            images: each (H, W) float32 in [0, 1], high is white, of any size.
        """
        if not images:
            return []
        squares = np.stack([self.record.preprocessing.square(image) for image in images])
        with torch.inference_mode():
            features = self._network.features(torch.from_numpy(squares)[:, None].to(self.device))
            logits = self._network.head(features)[:, 0].float()
            probabilities = torch.sigmoid(logits / self.record.temperature).cpu().tolist()
            maps = self._explain(features)
        return [
            (
                Prediction(label=self.record.labels[0], probability=probability, threshold=self.record.threshold),
                Heatmap(values=values, method=METHOD),
            )
            for probability, values in zip(probabilities, maps, strict=True)
        ]
