"""The raw maps against grad-cam on the whole network, backbone and all."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from ml.explanation import explainer_for
from ml.networks import Network
from ml.preprocessing import Preprocessing
from tests.ml.conftest import radiograph


class GentleHead(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1)
        )


def _reference(network: Network, grey: torch.Tensor) -> npt.NDArray[np.float32]:
    """grad-cam's own weights and map on the whole model, before it scales and resizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's imports
        from pytorch_grad_cam import GradCAM
    cam = GradCAM(model=network, target_layers=[network.backbone[-1]])
    outputs = cam.activations_and_grads(grey.clone().requires_grad_())
    outputs[:, 0].sum().backward()
    recorded = cam.activations_and_grads
    maps = cam.get_cam_image(
        grey, network.backbone[-1], [], recorded.activations[0].numpy(), recorded.gradients[0].numpy()
    )
    recorded.release()
    return np.maximum(maps, 0)


@pytest.mark.parametrize("kind", ["pooling + linear", "two layers"])
def test_raw_maps_equal_grad_cams_on_the_whole_model(network: Network, kind: str) -> None:
    torch.manual_seed(5)
    head = network.head if kind == "pooling + linear" else GentleHead()
    whole = Network(network.backbone, head, Preprocessing()).eval()
    grey = torch.from_numpy(np.stack([Preprocessing().square(radiograph(seed)) for seed in (11, 12, 13)]))[:, None]

    expected = _reference(whole, grey)
    with torch.inference_mode():
        maps = explainer_for(head)(whole.features(grey))

    assert maps.shape == expected.shape == (3, 7, 7)
    assert maps.dtype == np.float32
    assert maps.max() > 0
    np.testing.assert_allclose(maps, expected, atol=1e-4)
    # The maps are small numbers: the tolerance must bite.
    np.testing.assert_allclose(maps / maps.max(), expected / expected.max(), atol=1e-4)


def test_a_map_by_gradient_leaves_nothing_behind(network: Network) -> None:
    explain = explainer_for(GentleHead().eval().requires_grad_(False))
    with torch.inference_mode():
        features = network.features(torch.rand(2, 1, 64, 64))
        first, second = explain(features), explain(features)
    np.testing.assert_array_equal(first, second)
