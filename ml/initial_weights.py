"""Where a backbone's starting weights come from. A random start is never silent."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.errors import ConfigurationError
from ml.networks import ARCHITECTURES, Network

State = dict[str, torch.Tensor]


def initialise(network: Network, architecture: str, init: str | None) -> str:
    """Give the backbone its starting weights and return where they came from.

    ``init``: a state dict file (.safetensors, or .pth, loaded with weights_only) of torchvision's network or of one of
    our own, ``none`` for a random start, or None for torchvision's ImageNet weights by name.

    Raises:
        ConfigurationError: the file does not fit, or torchvision's weights cannot be fetched.
    """
    if init == "none":
        return "random"
    torchvision_name = ARCHITECTURES[architecture].torchvision_name
    if init is None:
        state, source = _download(torchvision_name), f"torchvision {torchvision_name} DEFAULT"
    else:
        state, source = _read(Path(init)), Path(init).name
    try:
        network.backbone.load_state_dict(_for_backbone(state, network))
    except RuntimeError as exc:
        raise ConfigurationError(f"{source} is no state dict of torchvision's {torchvision_name}: {exc}") from exc
    return source


def _for_backbone(state: State, network: Network) -> State:
    """The part of a whole network's state that the backbone holds, under the backbone's names."""
    children = {name for name, _ in network.backbone.named_children()}
    kept = {}
    for key, value in state.items():
        name = key.removeprefix("backbone.").removeprefix("features.")
        if name.split(".")[0] in children and not key.startswith(("head.", "classifier.")):
            kept[name] = value
    stem = kept.get("conv1.weight")
    if stem is not None and stem.shape[1] == 3 and network.mean.shape[1] == 1:
        kept["conv1.weight"] = stem.sum(1, keepdim=True)  # what three equal channels would have given
    return kept


def _read(path: Path) -> State:
    if not path.is_file():
        raise ConfigurationError(f"--init {path} is not a file; give a .safetensors or .pth file, or 'none'")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as exc:
        raise ConfigurationError(f"{path} cannot be read as a state dict: {exc}") from exc


def _download(torchvision_name: str) -> State:
    try:
        weights = torchvision.models.get_model_weights(torchvision_name).DEFAULT
        return weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as exc:
        raise ConfigurationError(
            f"torchvision's ImageNet weights for {torchvision_name} cannot be fetched ({exc}). "
            "Give --init FILE with a state dict (.safetensors or .pth) downloaded elsewhere, "
            "or --init none to train from a random start."
        ) from exc
