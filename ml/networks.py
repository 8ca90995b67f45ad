"""torchvision networks with our heads: grey radiographs in, logits out."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self
from urllib.error import URLError

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from core.errors import ConfigurationError
from ml.preprocessing import Preprocessing


class PooledLinear(nn.Module):
    """Global average pooling, dropout, one linear layer: the head whose class activation map has a closed form."""

    def __init__(self, channels: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) to (B, outputs) logits."""
        return self.linear(self.dropout(features.mean(dim=(2, 3))))


class Network(nn.Module):
    """A backbone that ends in a feature map, and a head that judges it."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Sequential, head: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen_blocks = 0
        # Not in the state dict: they belong to the record's preprocessing.
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def features(self, grey: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the last feature map (B, C, h, w)."""
        normalised = (grey.expand(-1, 3, -1, -1) - self.mean) / self.std
        return self.backbone(normalised.contiguous(memory_format=torch.channels_last))

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, outputs) logits."""
        return self.head(self.features(grey))

    def freeze(self, blocks: int) -> None:
        """Keep the first ``blocks`` children of the backbone as they are, batch norm statistics included."""
        self.frozen_blocks = blocks
        self.backbone[:blocks].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone[: self.frozen_blocks].eval()
        return self


def mobilenet_v2(preprocessing: Preprocessing, *, outputs: int = 1, dropout: float = 0.2) -> Network:
    """MobileNetV2 (Sandler et al. 2018) without weights, with a new pooling + linear head."""
    whole = torchvision.models.mobilenet_v2(weights=None)
    return Network(whole.features, PooledLinear(whole.last_channel, outputs, dropout), preprocessing)


BUILDERS = {"mobilenet_v2": mobilenet_v2}


def shift_logits(network: Network, by: float) -> None:
    """Add a constant to the network's logits, in the bias of its last layer."""
    last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.add_(by)


def initialise(network: Network, architecture: str, init: str | None) -> str:
    """Give the backbone its starting weights and return where they came from.

    ``init``: a state dict file (.safetensors, or .pth, loaded with weights_only), ``none`` for a random start, or None
    for torchvision's ImageNet weights by name.

    Raises:
        ConfigurationError: the file does not fit, or torchvision's weights cannot be fetched. A random start is never
            silent.
    """
    if init == "none":
        return "random"
    if init is None:
        state, source = _download(architecture), f"torchvision {architecture} DEFAULT"
    else:
        state, source = _read_state(Path(init)), Path(init).name
    prefix = "features."
    backbone = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        network.backbone.load_state_dict(backbone)
    except RuntimeError as exc:
        raise ConfigurationError(f"{source} is no state dict of torchvision's {architecture}: {exc}") from exc
    return source


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigurationError(f"--init {path} is not a file; give a .safetensors or .pth file, or 'none'")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as exc:
        raise ConfigurationError(f"{path} cannot be read as a state dict: {exc}") from exc


def _download(architecture: str) -> dict[str, Any]:
    try:
        weights = torchvision.models.get_model_weights(architecture).DEFAULT
        return weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as exc:
        raise ConfigurationError(
            f"torchvision's ImageNet weights for {architecture} cannot be fetched ({exc}). "
            "Give --init FILE with a state dict (.safetensors or .pth) downloaded elsewhere, "
            "or --init none to train from a random start."
        ) from exc
