"""torchvision networks with our heads: grey radiographs in, logits out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
import torchvision
from torch import nn

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
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, -1, 1, 1), persistent=False)

    def features(self, grey: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the last feature map (B, C, h, w)."""
        normalised = (grey.expand(-1, self.mean.shape[1], -1, -1) - self.mean) / self.std
        return self.backbone(normalised.contiguous(memory_format=torch.channels_last))

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, outputs) logits."""
        return self.head(self.features(grey))

    def freeze(self, blocks: int) -> None:
        """Keep the first ``blocks`` children of the backbone as they are, batch norm statistics included."""
        self.frozen_blocks = min(blocks, len(self.backbone))
        self.backbone.requires_grad_(True)
        self.backbone[: self.frozen_blocks].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone[: self.frozen_blocks].eval()
        return self


def pneumonia_logit(logits: torch.Tensor) -> torch.Tensor:
    """(B, K) to (B,): the log odds of pneumonia, whichever way the network says it.

    One output is the log odds itself. Of several, the first stands for normal and the others for kinds of pneumonia:
    softmax then gives log(sum of the others / normal).
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[:, 1:].logsumexp(1) - logits[:, 0]


def shift_logits(network: Network, by: float) -> None:
    """Add a constant to the log odds of pneumonia, in the biases of the last layer."""
    last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
    first_positive = 0 if last.out_features == 1 else 1
    with torch.no_grad():
        last.bias[first_positive:].add_(by)


def mobilenet_v2(preprocessing: Preprocessing, outputs: int = 1) -> Network:
    """MobileNetV2 (Sandler et al. 2018), pooling + dropout + linear."""
    whole = torchvision.models.mobilenet_v2(weights=None)
    return Network(whole.features, PooledLinear(whole.last_channel, outputs, dropout=0.2), preprocessing)


def inception_v3(preprocessing: Preprocessing, outputs: int = 1) -> Network:
    """Inception-V3 (Szegedy et al. 2016) without its auxiliary head, pooling + dropout + linear."""
    whole = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=True)
    return Network(_children_but(whole, "avgpool", "dropout", "fc"), PooledLinear(2048, outputs, 0.5), preprocessing)


def resnet18(preprocessing: Preprocessing, outputs: int = 1) -> Network:
    """ResNet-18 (He et al. 2016), pooling + linear; its first convolution takes as many channels as are normalised."""
    whole = torchvision.models.resnet18(weights=None)
    channels = len(preprocessing.mean)
    if channels != 3:
        whole.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return Network(_children_but(whole, "avgpool", "fc"), PooledLinear(512, outputs, dropout=0.0), preprocessing)


def resnet50(preprocessing: Preprocessing, outputs: int = 1) -> Network:
    """ResNet-50, pooling + dropout + dense."""
    return Network(_resnet50_backbone(), PooledLinear(2048, outputs, dropout=0.5), preprocessing)


def resnet50_512(preprocessing: Preprocessing, outputs: int = 2) -> Network:
    """ResNet-50, pooling, dropout, 512 units with ReLU and batch norm, dropout, dense."""
    head = nn.Sequential(
        *_pooled(),
        nn.Dropout(0.5),
        nn.Linear(2048, 512),
        nn.ReLU(),
        nn.BatchNorm1d(512),
        nn.Dropout(0.3),
        nn.Linear(512, outputs),
    )
    return Network(_resnet50_backbone(), head, preprocessing)


def resnet50_512_256(preprocessing: Preprocessing, outputs: int = 1) -> Network:
    """ResNet-50, pooling, 512 units, dropout, 256 units, dropout, dense."""
    head = nn.Sequential(
        *_pooled(),
        nn.Linear(2048, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, outputs),
    )
    return Network(_resnet50_backbone(), head, preprocessing)


def _resnet50_backbone() -> nn.Sequential:
    return _children_but(torchvision.models.resnet50(weights=None), "avgpool", "fc")


def _children_but(whole: nn.Module, *without: str) -> nn.Sequential:
    """In order and under torchvision's names, so that its state dicts fit."""
    return nn.Sequential(OrderedDict((name, child) for name, child in whole.named_children() if name not in without))


def _pooled() -> tuple[nn.Module, nn.Module]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten()


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build a network without weights, and what torchvision calls its backbone."""

    build: Callable[[Preprocessing, int], Network]
    """(preprocessing, number of outputs)"""
    torchvision_name: str
    partial: int
    """Children of the backbone that the freeze strategy ``partial`` keeps: the stem and about half of the blocks."""


ARCHITECTURES = {
    "mobilenet_v2": Architecture(mobilenet_v2, "mobilenet_v2", partial=7),
    "inception_v3": Architecture(inception_v3, "inception_v3", partial=10),  # up to Mixed_5d
    "resnet18": Architecture(resnet18, "resnet18", partial=6),  # conv1 (with norm, ReLU, pooling), layer1, layer2
    "resnet50": Architecture(resnet50, "resnet50", partial=6),
    "resnet50_512": Architecture(resnet50_512, "resnet50", partial=6),
    "resnet50_512_256": Architecture(resnet50_512_256, "resnet50", partial=6),
}
