"""Training data whose every draw is a function of seed, epoch and image.

So a run that was interrupted and resumed sees the same images in the same order, augmented in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Dataset, Sampler

from ml.borrowing import Borrowing

_PRIME = 1_000_003


def seed_of(*numbers: int) -> int:
    """One seed for the random number generators from several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * _PRIME + number) % 2**63
    return seed


class EpochOrder(Sampler[int]):
    """A new order for each epoch, as numbers that carry the epoch too: ``epoch * n + index``.

    Args:
        epoch: the epoch that begins, from 0, counted from the start of the run and not of its resumption.
        weights: (n,) how often each image is drawn, with replacement; None draws each once.
    """

    def __init__(self, n: int, seed: int, epoch: Callable[[], int], weights: torch.Tensor | None = None) -> None:
        self._n, self._seed, self._epoch, self._weights = n, seed, epoch, weights

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        epoch = self._epoch()
        generator = torch.Generator().manual_seed(seed_of(self._seed, epoch))
        if self._weights is None:
            order = torch.randperm(self._n, generator=generator)
        else:
            order = torch.multinomial(self._weights, self._n, replacement=True, generator=generator)
        return iter((epoch * self._n + order).tolist())


class Radiographs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """(1, H, W) float32 in [0, 1] and its class (int64), through a transform of (1, H, W) uint8."""

    def __init__(
        self,
        images: torch.Tensor,
        classes: torch.Tensor,
        transform: Callable[[torch.Tensor], torch.Tensor],
        seed: int,
        borrowing: Borrowing | None = None,
    ) -> None:
        self._images, self._classes, self._transform, self._seed = images, classes, transform, seed
        self._borrowing = borrowing

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``number`` as EpochOrder gives it."""
        index = number % len(self)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self._seed, number))
            image = self._images[index]
            if self._borrowing is not None:
                image = self._borrowing(image, self._images)
            return self._transform(image), self._classes[index]
