"""Is this an upright frontal chest radiograph like those the network knows? Asked of the picture, not of the header.

Two numbers are read from the activations of the forward pass that predicts, each with a limit for a warning and one
for a refusal:

* the discriminant, a linear one, tells radiographs from wrong pictures that were made of them (``ml.wrong_pictures``);
* the distance, Mahalanobis within the space that radiographs span plus what lies outside of it (Lee et al. 2018), finds
  what nobody thought of.

Everything that decides is in the weights file, so that the digest on record covers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self

import torch

from core.errors import ConfigurationError

PREFIX = "novelty."
CLIP = 6.0
"""Standardised activations stop here: one wild channel must not decide alone."""


class Familiarity(IntEnum):
    KNOWN = 0
    UNUSUAL = 1
    """Borderline: to be read with care."""
    UNKNOWN = 2
    """Not to be answered."""


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """D activations, K axes."""

    mean: torch.Tensor
    """(D,) of radiographs"""
    scale: torch.Tensor
    """(D,) standard deviation of radiographs"""
    axes: torch.Tensor
    """(K, D) principal axes of standardised radiographs; float16 in the file"""
    variances: torch.Tensor
    """(K,) along the axes"""
    remainder: torch.Tensor
    """() mean squared length outside of the axes"""
    direction: torch.Tensor
    """(D,) of the discriminant"""
    limits: torch.Tensor
    """(2, 2): a row for warning and one for refusal, columns discriminant and distance"""

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], device: torch.device) -> Self | None:
        """The gate among the tensors of a weights file, or None where there is none.

        Raises:
            ConfigurationError: it is a gate of another make.
        """
        found = {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)}
        if not found:
            return None
        if wrong := found.keys() ^ {field.name for field in fields(cls)}:
            raise ConfigurationError(f"the weights' gate was made by another version ({', '.join(sorted(wrong))})")
        return cls(**{key: value.to(device).float() for key, value in found.items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        """What ``of`` reads."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            PREFIX + name: (value.half() if name == "axes" else value).contiguous() for name, value in found.items()
        }

    def strangeness(self, activations: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, 2): discriminant and log distance; the higher, the stranger."""
        x = standardised(activations, self.mean, self.scale)
        along = x @ self.axes.T
        outside = (x.square().sum(1) - along.square().sum(1)).clamp_min(0)
        distance = (along.square() / self.variances).mean(1) + outside / self.remainder
        return torch.stack([x @ self.direction, distance.log()], 1)

    def familiarity(self, activations: torch.Tensor) -> list[Familiarity]:
        """One for each image."""
        beyond = (self.strangeness(activations)[:, None] > self.limits).any(2)
        return [Familiarity(level) for level in beyond.sum(1).tolist()]


def standardised(activations: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(B, D); a typical radiograph has length 1, however many activations there are."""
    return ((activations - mean) / scale).clamp(-CLIP, CLIP) / len(mean) ** 0.5
