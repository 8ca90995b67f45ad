"""Radiographs in, verdicts out, in one forward pass: calibrated predictions, heat maps and what speaks against them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from core.errors import ConfigurationError
from core.records import Finding, Heatmap, ModelIdentity, Prediction, Verdict
from ml.activations import Taps
from ml.explanation import METHOD, explainer_for
from ml.networks import ARCHITECTURES, Network, pneumonia_logit
from ml.novelty import PREFIX, Familiarity, Gate
from ml.views import VIEWS, disagree, views_of
from ml.weights import WeightsRecord, load_record

NOT_KNOWN = Finding(
    "not_a_known_radiograph", "the picture is not like the upright frontal chest radiographs that the model knows"
)
UNUSUAL = Finding("unusual_image", "the picture differs from most radiographs that the model knows")
VIEWS_DISAGREE = Finding("views_disagree", "slightly changed views of the picture get clearly different answers")


@dataclass(frozen=True, slots=True)
class _Judged:
    """``unsteady``: views disagree."""

    prediction: Prediction
    heatmap: Heatmap
    familiarity: Familiarity
    unsteady: bool

    @property
    def verdict(self) -> Verdict:
        if self.familiarity is Familiarity.UNKNOWN:
            return Verdict(None, None, reasons=(NOT_KNOWN,))
        doubts = ((UNUSUAL, self.familiarity is Familiarity.UNUSUAL), (VIEWS_DISAGREE, self.unsteady))
        return Verdict(self.prediction, self.heatmap, warnings=tuple(finding for finding, holds in doubts if holds))


class Classifier:
    """A network in evaluation mode with its record. float32 throughout: bf16 would move probabilities by up to 0.01.

    ``use_tta``: average the logits of several views of each image (``ml.views``). It is a part of who answers, not of
    the question: it changes predictions, and so the identity.
    """

    def __init__(
        self,
        network: Network,
        record: WeightsRecord,
        device: torch.device,
        *,
        gate: Gate | None = None,
        use_tta: bool = False,
    ) -> None:
        self.record = record
        self.device = device
        self.use_tta = use_tta
        self._gate = gate
        self._network = network.requires_grad_(False).eval().to(device).to(memory_format=torch.channels_last)
        self._taps = Taps(self._network, record.preprocessing.size) if gate else None
        self._explain = explainer_for(network.head)

    @classmethod
    def load(cls, path: Path, *, use_tta: bool = False) -> Self:
        """From a .safetensors file with its record beside it; on the first CUDA device where there is one.

        Raises:
            ConfigurationError: weights and record are missing, damaged or not of each other.
        """
        record = load_record(path)
        if record.architecture not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            raise ConfigurationError(f"{path}: unknown architecture {record.architecture!r}, known: {known}")
        network = ARCHITECTURES[record.architecture].build(record.preprocessing, len(record.labels))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        tensors = load_file(path)
        gate = Gate.of(tensors, device)
        if (gate is None) != (record.novelty is None):
            raise ConfigurationError(f"{path} and its record disagree about a gate: take both from one run")
        try:
            network.load_state_dict({key: value for key, value in tensors.items() if not key.startswith(PREFIX)})
        except RuntimeError as exc:
            raise ConfigurationError(f"{path} does not fit the architecture {record.architecture}: {exc}") from exc
        return cls(network, record, device, gate=gate, use_tta=use_tta)

    @property
    def identity(self) -> ModelIdentity:
        identity = self.record.identity
        if not self.use_tta:
            return identity
        steps = {**json.loads(identity.preprocessing), "views": VIEWS}
        return replace(identity, preprocessing=json.dumps(steps, sort_keys=True, separators=(",", ":")))

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._network.parameters())

    def with_tta(self) -> Self:
        """The same network in memory, asked with test-time augmentation: another one to answer. Not for two threads."""
        twin = copy.copy(self)
        twin.use_tta = True
        return twin

    def classify(self, images: Sequence[npt.NDArray[np.float32]]) -> list[tuple[Prediction, Heatmap]]:
        """What the network says of each image, whether or not it should have been asked: for evaluation.

        Args:
            images: each (H, W) float32 in [0, 1], high is white, of any size.
        """
        return [(judged.prediction, judged.heatmap) for judged in self._judged(images)]

    def judge(self, images: Sequence[npt.NDArray[np.float32]]) -> list[Verdict]:
        """What service says of each image; arguments as in ``classify``."""
        return [judged.verdict for judged in self._judged(images)]

    def _judged(self, images: Sequence[npt.NDArray[np.float32]]) -> list[_Judged]:
        """One forward pass for all images and views."""
        if not images:
            return []
        squares = np.stack([self.record.preprocessing.square(image) for image in images])
        with torch.inference_mode():
            grey = torch.from_numpy(squares)[:, None].to(self.device)
            features = self._network.features(views_of(grey) if self.use_tta else grey)
            logits = self._network.head(features).float().unflatten(0, (-1, len(images)))
            maps = self._explain(features[: len(images)])
            unsteady = disagree(self._probabilities(logits), self.record.threshold).tolist()
            heatmaps = [Heatmap(values=values, method=METHOD) for values in maps]
            return list(
                map(_Judged, self._predictions(logits.mean(0)), heatmaps, self._familiarity(len(images)), unsteady)
            )

    def _familiarity(self, images: int) -> list[Familiarity]:
        """Of the first ``images`` of the last pass: the images as they are."""
        if self._gate is None or self._taps is None:
            return [Familiarity.KNOWN] * images
        return self._gate.familiarity(self._taps.last[:images])

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(..., K) to (...): calibrated probability of pneumonia."""
        return torch.sigmoid(pneumonia_logit(logits.flatten(0, -2)) / self.record.temperature).view(logits.shape[:-1])

    def _predictions(self, logits: torch.Tensor) -> list[Prediction]:
        """Calibrated. Of three classes and more, kinds of pneumonia share its probability as softmax has them."""
        labels = self.record.labels
        probabilities = self._probabilities(logits)
        if len(labels) > 2:
            kinds = probabilities[:, None] * logits[:, 1:].softmax(1)
            shares = torch.cat([1.0 - probabilities[:, None], kinds], 1).tolist()
            classes = [tuple(zip(labels, share, strict=True)) for share in shares]
        else:
            classes = [()] * len(logits)
        return [
            Prediction(self.record.identity.label, probability, self.record.threshold, said)
            for probability, said in zip(probabilities.tolist(), classes, strict=True)
        ]
