"""What a network's forward pass shows of an image besides its answer: pooled activations, read while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ml.networks import Network

GRID = 3
"""Places along each axis that activations are averaged in: they keep where in the picture something is."""
STAGES = 5


class Taps:
    """Listens at the end of each of the last stages of a backbone; a stage is what shares one resolution.

    Early stages know exposure and texture, late ones anatomy. The pass itself is not changed and not repeated.
    """

    def __init__(self, network: Network, size: int) -> None:
        self._pooled: list[torch.Tensor] = []
        self._handles = [network.backbone.register_forward_pre_hook(self._begin)]
        self._handles += [child.register_forward_hook(self._listen) for child in _stage_ends(network, size)]

    def _begin(self, _module: nn.Module, _inputs: Any) -> None:
        self._pooled = []

    def _listen(self, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        self._pooled.append(functional.adaptive_avg_pool2d(output, GRID).flatten(1))

    @property
    def last(self) -> torch.Tensor:
        """(B, D) float32: of the images of the last pass."""
        return torch.cat(self._pooled, 1).float()

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def _stage_ends(network: Network, size: int) -> list[nn.Module]:
    children, sides = list(network.backbone), []
    with torch.inference_mode():
        x = torch.zeros(1, network.mean.shape[1], size, size, device=network.mean.device)
        for child in children:
            x = child(x)
            sides.append(x.shape[-1])
    following = [*sides[1:], 0]
    return [child for child, side, then in zip(children, sides, following, strict=True) if then < side][-STAGES:]
