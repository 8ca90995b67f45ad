"""Giving one radiograph what another one owes to its acquisition, and leaving the lungs alone.

Between images of both classes this takes away what exposure and frame (collimation, markers, arms, padding) tell about
the label; between images of opposite classes only, it shows how much a network leans on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


def borrow_exposure(image: torch.Tensor, lender: torch.Tensor, share: float) -> torch.Tensor:
    """(1, H, W) uint8 moved by ``share`` in [0, 1] towards the grey histogram of ``lender``."""
    cumulated, wanted = _cumulated(image), _cumulated(lender)
    matched = torch.searchsorted(wanted, cumulated).clamp_max(255)
    curve = (1.0 - share) * torch.arange(256) + share * matched
    return curve.round().to(torch.uint8)[image.long()]


def _cumulated(image: torch.Tensor) -> torch.Tensor:
    """(256,) shares of pixels up to each grey value; the last stays below 1 so that a search finds a value."""
    counts = torch.bincount(image.flatten().long(), minlength=256)
    return (counts.cumsum(0) / image.numel()).clamp_max(0.99999)


def borrow_frame(image: torch.Tensor, lender: torch.Tensor, widths: tuple[int, int, int, int]) -> torch.Tensor:
    """(1, H, W) uint8 inside the strips of ``lender`` at its top, bottom, left and right, ``widths`` pixels wide."""
    top, bottom, left, right = widths
    inside = (..., slice(top, image.shape[-2] - bottom), slice(left, image.shape[-1] - right))
    framed = lender.clone()
    framed[inside] = image[inside]
    return framed


@dataclass(frozen=True, slots=True)
class Borrowing:
    """How often a training image borrows from another one, whatever the class of either."""

    exposure: float
    frame: float
    widest: float
    """Of a strip, as a share of the side."""

    def __call__(self, image: torch.Tensor, lenders: torch.Tensor) -> torch.Tensor:
        """(1, S, S) uint8 and (N, 1, S, S) to draw lenders from."""
        if _chance(self.exposure):
            image = borrow_exposure(image, _one_of(lenders), float(torch.rand(())))
        if _chance(self.frame):
            top, bottom, left, right = (torch.rand(4) * self.widest * image.shape[-1]).int().tolist()
            image = borrow_frame(image, _one_of(lenders), (top, bottom, left, right))
        return image


def _chance(probability: float) -> bool:
    return float(torch.rand(())) < probability


def _one_of(lenders: torch.Tensor) -> torch.Tensor:
    return lenders[int(torch.randint(len(lenders), ()))]
