"""A small model with real weights files, made once: the networks' sizes are the shipped model's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from ml.networks import Network, mobilenet_v2
from ml.preprocessing import Preprocessing
from ml.weights import WeightsRecord, digest_of, save_record

Image = npt.NDArray[np.float32]


def radiograph(seed: int, height: int = 300, width: int = 260) -> Image:
    """(H, W) float32 in [0, 1]: smooth shapes with a little noise."""
    generator = np.random.default_rng(seed)
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    chest = np.exp(-((rows / 0.9) ** 4) - (columns / 0.8) ** 4)
    lungs = sum(np.exp(-((rows / 0.6) ** 2) - ((columns - side) / 0.25) ** 2) for side in (-0.4, 0.4))
    image = 0.75 * chest - generator.uniform(0.3, 0.5) * lungs + generator.normal(0, 0.02, (height, width))
    return np.clip(image, 0, 1).astype(np.float32)


@pytest.fixture(scope="session")
def network() -> Network:
    """Random weights; batch norm statistics taken from images, since untrained ones run into denormal numbers."""
    torch.manual_seed(0)
    network = mobilenet_v2(Preprocessing())
    images = torch.from_numpy(np.stack([Preprocessing().square(radiograph(seed)) for seed in range(8)]))[:, None]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean
    with torch.no_grad():
        network.train()(images)
    return network.eval()


@pytest.fixture(scope="session")
def make_weights(network: Network) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "small.safetensors"
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
        record = WeightsRecord(
            name="small",
            version="1",
            manufacturer="pneumo",
            architecture="mobilenet_v2",
            digest=digest_of(path),
            labels=("pneumonia",),
            threshold=0.5,
            temperature=1.5,
            preprocessing=Preprocessing(),
            provenance={},
            metrics={},
        )
        save_record(record, path)
        return path

    return make


@pytest.fixture(scope="session")
def weights(make_weights: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))
