"""Grad-CAM from one forward pass: the backbone is never differentiated.

Selvaraju et al. 2017: the weight of a channel is the mean gradient of the class score over that channel's feature map;
the map is the weighted sum of the channels, negative values cut off.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ml.networks import PooledLinear, pneumonia_logit

METHOD = "Grad-CAM"

# (B, C, h, w) features to (B, h, w) float32 maps, >= 0, neither scaled nor resized
Explainer = Callable[[torch.Tensor], npt.NDArray[np.float32]]


def explainer_for(head: nn.Module) -> Explainer:
    """How to explain the log odds of pneumonia: in closed form where the head is pooling + linear, else by gradient."""
    if isinstance(head, PooledLinear):
        return _closed_form(head)
    return _head_gradient(head)


def _closed_form(head: PooledLinear) -> Explainer:
    def explain(features: torch.Tensor) -> npt.NDArray[np.float32]:
        # A logit is sum_c weight_c * mean(features_c): its gradient is weight_c / (h * w) at every place.
        weights = _gradient_by_logit(head(features)) @ head.linear.weight / features[0, 0].numel()
        maps = torch.einsum("bchw,bc->bhw", features, weights).clamp_min(0)
        return maps.float().cpu().numpy()

    return explain


def _gradient_by_logit(logits: torch.Tensor) -> torch.Tensor:
    """(B, K): of ``ml.networks.pneumonia_logit``."""
    if logits.shape[1] == 1:
        return torch.ones_like(logits)
    return torch.cat([-torch.ones_like(logits[:, :1]), logits[:, 1:].softmax(1)], 1)


class _HeadAlone(nn.Module):
    """Gives the package a target layer whose output is the feature map and whose model is the head only."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.head = head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(features))


def _head_gradient(head: nn.Module) -> Explainer:
    # Seconds and OpenCV: only for heads that need it.
    from pytorch_grad_cam import GradCAM

    alone = _HeadAlone(head).eval()
    cam = GradCAM(model=alone, target_layers=[alone.features])

    def explain(features: torch.Tensor) -> npt.NDArray[np.float32]:
        # A clone leaves inference mode, so that the head can be differentiated; images of a batch do not mix in a head
        # in evaluation mode, hence one backward pass for all.
        with torch.inference_mode(False), torch.enable_grad():
            leaf = features.clone().requires_grad_()
            pneumonia_logit(cam.activations_and_grads(leaf)).sum().backward()
            recorded = cam.activations_and_grads
            maps = cam.get_cam_image(
                leaf, alone.features, [], recorded.activations[0].numpy(), recorded.gradients[0].numpy()
            )
        recorded.clear()
        return np.maximum(maps, 0).astype(np.float32)

    return explain
