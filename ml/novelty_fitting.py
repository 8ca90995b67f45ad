"""Fits the gate of a trained network: about 4,400 forward passes and some linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier

from core.errors import ConfigurationError
from ml.activations import Taps
from ml.networks import Network
from ml.novelty import Gate, standardised
from ml.stress import one_stress_each
from ml.wrong_pictures import WRONG_PICTURES

RADIOGRAPHS, HELD_OUT = 1600, 400
"""At most so many images for fitting and for the limits: more would cost minutes and bring little."""
AXES = 64
RIDGE = 0.3
ACCEPTED = 0.995
"""Of the held-out radiographs and their stress copies, without a warning."""
WRONG_REFUSED = 0.98
"""Of each kind of wrong picture made from held-out radiographs, if the limit is drawn as far out as it may be."""
FEWEST = 20
BATCH = 32

Scores = npt.NDArray[np.float64]


def fit(
    network: Network, images: torch.Tensor, held_out: torch.Tensor
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors that go into the weights file beside the network's, and what the record says of them. Seeded.

    Half of the radiographs are fitted as they are or mirrored (dextrocardia and swapped sides are no reason to refuse),
    half as stress copies. The limits come from held-out patients.

    Args:
        network: in evaluation mode, on the CPU.
        images, held_out: (N, 1, S, S) uint8 radiographs that share no patient.

    Raises:
        ConfigurationError: too few images.
    """
    if min(len(images), len(held_out)) < FEWEST:
        raise ConfigurationError(
            f"a gate needs {FEWEST} training and {FEWEST} held-out radiographs, got {len(images)} and {len(held_out)}"
        )
    generator = torch.Generator().manual_seed(0)
    images, held_out = _some(images, RADIOGRAPHS, generator), _some(held_out, HELD_OUT, generator)
    taps = Taps(network, images.shape[-1])
    try:
        known = _activations(
            network, taps, torch.cat([_plain_and_mirrored(images[::2]), one_stress_each(images[1::2])])
        )
        wrong = torch.cat([*_wrong(network, taps, images, generator).values()])
        gate = _fitted(known, wrong)
        plain, stressed, *others = (
            gate.strangeness(part).double().numpy()
            for part in (
                _activations(network, taps, held_out),
                _activations(network, taps, one_stress_each(held_out)),
                *_wrong(network, taps, held_out, generator).values(),
            )
        )
    finally:
        taps.close()
    gate.limits.copy_(_limits(np.concatenate([plain, stressed]), others))
    refusal = gate.limits[1].double().numpy()
    return gate.tensors(), {
        "radiographs": len(images),
        "held_out": len(held_out),
        "activations": len(gate.mean),
        "axes": len(gate.axes),
        "limits": {"warning": gate.limits[0].tolist(), "refusal": gate.limits[1].tolist()},
        "held_out_accepted": {"plain": _share(plain <= refusal), "stress copies": _share(stressed <= refusal)},
        "wrong_pictures_refused": {
            kind: 1 - _share(scores <= refusal) for kind, scores in zip(WRONG_PICTURES, others, strict=True)
        },
    }


def _some(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    return images[torch.randperm(len(images), generator=generator)[:most]]


def _plain_and_mirrored(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([images[::2], images[1::2].flip(3)])


def _wrong(network: Network, taps: Taps, images: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Activations of each kind, each made of its own part of the images."""
    return {
        kind: _activations(network, taps, make(images[place :: len(WRONG_PICTURES)], generator))
        for place, (kind, make) in enumerate(WRONG_PICTURES.items())
    }


def _activations(network: Network, taps: Taps, images: torch.Tensor) -> torch.Tensor:
    parts = []
    with torch.inference_mode():
        for part in images.split(BATCH):
            network.features(part.float() / 255.0)
            parts.append(taps.last)
    return torch.cat(parts)


def _fitted(known: torch.Tensor, wrong: torch.Tensor) -> Gate:
    """Without limits yet."""
    mean, scale = known.mean(0), known.std(0)
    scale = scale + 1e-3 * scale.mean()  # channels that are silent on radiographs
    x, other = (standardised(part, mean, scale).numpy() for part in (known, wrong))
    pca = PCA(min(AXES, len(x) // 2), svd_solver="randomized", random_state=0).fit(x)
    # Stored as float16: measured with what will be loaded.
    axes = torch.from_numpy(pca.components_).half().float()
    along = torch.from_numpy(x) @ axes.T
    ridge = RidgeClassifier(alpha=RIDGE, class_weight="balanced").fit(
        np.concatenate([x, other]), np.repeat([0, 1], [len(x), len(other)])
    )
    return Gate(
        mean=mean,
        scale=scale,
        axes=axes,
        variances=along.square().mean(0),
        remainder=(x**2).sum(1).mean() - along.square().sum(1).mean(),
        direction=torch.from_numpy(ridge.coef_.ravel()).float(),
        limits=torch.zeros(2, 2),
    )


def _limits(known: Scores, others: list[Scores]) -> torch.Tensor:
    """(2, 2): warning and refusal, for discriminant and distance.

    The discriminant refuses halfway between the strangest radiographs and the most familiar wrong pictures. The
    distance has seen no wrong picture: it refuses half as far again as it warns.
    """
    warning, usual = np.quantile(known, ACCEPTED, axis=0), np.median(known, axis=0)
    nearest = min(np.quantile(scores[:, 0], 1 - WRONG_REFUSED) for scores in others)
    refusal = [max(warning[0], (warning[0] + nearest) / 2), warning[1] + (warning[1] - usual[1]) / 2]
    return torch.tensor(np.stack([warning, refusal])).float()


def _share(within: npt.NDArray[np.bool_]) -> float:
    """Of images with both numbers within the limits."""
    return round(float(within.all(1).mean()), 4)
