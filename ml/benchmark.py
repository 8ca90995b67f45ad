"""How long a prediction with its heat map takes, beside the plain network without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ml.classifier import Classifier
from ml.networks import ARCHITECTURES, pneumonia_logit
from ml.novelty import PREFIX
from ml.weights import DEFAULT_WEIGHTS

BATCHES = (1, 16)
FULL_SIZE = (2048, 2500)


@dataclass(frozen=True, slots=True)
class Timing:
    what: str
    batch: int
    milliseconds: float
    """Per image, median of the rounds."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(weights: Path = DEFAULT_WEIGHTS, *, rounds: int = 20) -> list[Timing]:
    """Rows of one table; synthetic images already in memory. Rounds are interleaved, so that drift hits all rows alike.

    Raises:
        ConfigurationError: the weights cannot be used.
    """
    classifier = Classifier.load(weights)
    record = classifier.record
    plain = ARCHITECTURES[record.architecture].build(record.preprocessing, len(record.labels))
    plain.load_state_dict({key: value for key, value in load_file(weights).items() if not key.startswith(PREFIX)})
    plain.eval().to(classifier.device)
    size = record.preprocessing.size
    generator = np.random.default_rng(0)
    # Smooth shapes: noise alone drives activations into ranges a radiograph never does.
    small = [_blob(generator, (size, size)) for _ in range(max(BATCHES))]
    large = [_blob(generator, FULL_SIZE) for _ in range(max(BATCHES))]

    runs: list[tuple[str, int, Callable[[], object]]] = []
    for batch in BATCHES:
        grey = torch.from_numpy(np.stack(small[:batch])[:, None]).to(classifier.device)
        normalised = ((grey.expand(-1, plain.mean.shape[1], -1, -1) - plain.mean) / plain.std).contiguous()
        runs += [
            ("plain network, float32, no heat map", batch, partial(_forward, plain, normalised, bf16=False)),
            ("plain network, bf16, no heat map", batch, partial(_forward, plain, normalised, bf16=True)),
            ("prediction and heat map", batch, partial(classifier.classify, small[:batch])),
            ("the same from 2048 x 2500", batch, partial(classifier.classify, large[:batch])),
        ]
    seconds: dict[tuple[str, int], list[float]] = {(what, batch): [] for what, batch, _ in runs}
    for warm in range(rounds + 2):
        for what, batch, run in runs:
            start = time.perf_counter()
            run()
            if warm >= 2:
                seconds[what, batch].append(time.perf_counter() - start)
    return [Timing(what, batch, 1000 * median(values) / batch) for (what, batch), values in seconds.items()]


def _forward(plain: Any, normalised: torch.Tensor, *, bf16: bool) -> list[float]:
    with torch.inference_mode(), torch.autocast(normalised.device.type, torch.bfloat16, enabled=bf16):
        return torch.sigmoid(pneumonia_logit(plain.head(plain.backbone(normalised)).float())).tolist()


def _blob(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.linspace(-1, 1, length, dtype=np.float32) for length in shape)
    waves = np.sin(rows[:, None] * generator.uniform(3, 9)) * np.cos(columns[None] * generator.uniform(3, 9))
    return (0.5 + 0.4 * waves).astype(np.float32)
