"""What a model's gate lets pass and what it stops, by kind of picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from core.errors import ConfigurationError
from core.records import Verdict
from ml.classifier import Classifier
from ml.data import Sample, load_images
from ml.stress import STRESSES
from ml.wrong_pictures import WRONG_PICTURES

Image = npt.NDArray[np.float32]

# The wrong pictures that a PACS really sends; the others serve fitting alone.
_FROM_RADIOGRAPHS = (
    "turned by 90", "turned by 180", "turned by 270", "upside down", "inverted",
    "left half", "right half", "top half", "bottom half", "noise", "even grey",
)  # fmt: skip
BATCH = 16


@dataclass(frozen=True, slots=True)
class Acceptance:
    kind: str
    n: int
    accepted: int
    warned: int
    """Accepted with the warning ``unusual_image``."""


@dataclass(frozen=True, slots=True)
class Refusal:
    kind: str
    n: int
    refused: int


@dataclass(frozen=True, slots=True)
class GateBenchmark:
    acceptance: tuple[Acceptance, ...]
    refusal: tuple[Refusal, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    classifier: Classifier,
    samples: Sequence[Sample],
    foreign: Mapping[str, Sequence[Image]],
    progress: Callable[[str], None],
    *,
    most: int = 300,
) -> GateBenchmark:
    """Radiographs and their stress copies; wrong pictures made of them, and ``foreign`` ones. Seeded.

    Args:
        samples: radiographs, of which ``most`` are drawn.
        foreign: by kind, each (H, W) float32 in [0, 1].
        progress: hears of each kind before it is measured.

    Raises:
        ConfigurationError: the model has no gate.
    """
    if classifier.record.novelty is None:
        raise ConfigurationError(
            f"the weights of {classifier.identity.name} {classifier.identity.version} have no gate: they were made "
            "before there was one, train the model again"
        )
    order = np.random.default_rng(0).permutation(len(samples))[:most]
    images = load_images([samples[index] for index in order], classifier.record.preprocessing)
    generator = torch.Generator().manual_seed(1)
    copies = {"radiographs": STRESSES["plain"], "mirrored": lambda images: images.flip(3)} | {
        f"stress copy, {name}": stress for name, stress in STRESSES.items() if name != "plain"
    }
    acceptance, refusal = [], []
    for kind, copy in copies.items():
        progress(kind)
        verdicts = _verdicts(classifier, _pictures(copy(images)))
        accepted = [verdict for verdict in verdicts if verdict.prediction is not None]
        acceptance.append(Acceptance(kind, len(verdicts), len(accepted), sum(map(_unusual, accepted))))
    wrong = ((f"radiographs, {kind}", WRONG_PICTURES[kind]) for kind in _FROM_RADIOGRAPHS)
    for kind, pictures in itertools.chain(
        ((kind, _pictures(make(images, generator))) for kind, make in wrong), foreign.items()
    ):
        progress(kind)
        verdicts = _verdicts(classifier, pictures)
        refusal.append(Refusal(kind, len(verdicts), sum(verdict.prediction is None for verdict in verdicts)))
    return GateBenchmark(tuple(acceptance), tuple(refusal))


def _verdicts(classifier: Classifier, pictures: Sequence[Image]) -> list[Verdict]:
    return [
        verdict
        for start in range(0, len(pictures), BATCH)
        for verdict in classifier.judge(pictures[start : start + BATCH])
    ]


def _unusual(verdict: Verdict) -> bool:
    return any(finding.code == "unusual_image" for finding in verdict.warnings)


def _pictures(images: torch.Tensor) -> list[Image]:
    """(N, 1, S, S) uint8 to what a classifier takes."""
    return list(images[:, 0].numpy().astype(np.float32) / np.float32(255))
