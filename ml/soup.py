"""A small ensemble folded into one network: the mean of weights that were fine-tuned from the same start.

Wortsman et al. 2022 (Model soups): networks fine-tuned from one pre-trained start lie in one basin, so that the mean of
their weights is a good network too, steadier than each on images from elsewhere, at the cost of one forward pass.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from safetensors.torch import load_file, save_file

from ml.networks import Network
from ml.recipe import Recipe
from ml.training import Labelled, Run, fit


def fit_members(
    recipe: Recipe,
    network: Network,
    train: Labelled,
    validation: Labelled,
    *,
    run: Run,
    draw_weights: torch.Tensor | None = None,
) -> Network:
    """``ml.training.fit``, once for each of ``recipe.members`` and with draws of its own; returns the mean of them.

    Members lie in ``run.out/member-1`` and so on. A resumed run keeps the finished ones.

    Raises:
        ConfigurationError: as ``fit``.
    """
    if recipe.members == 1:
        return fit(recipe, network, train, validation, run=run, draw_weights=draw_weights)
    start = deepcopy(network.state_dict())
    members = []
    for number in range(recipe.members):
        out = run.out / f"member-{number + 1}"
        finished = out / "weights.safetensors"
        if not (run.resume and finished.is_file()):
            out.mkdir(parents=True, exist_ok=True)
            network.load_state_dict(start)
            own = replace(run, out=out, seed=run.seed + number)
            own = replace(own, resume=run.resume and (own.checkpoint.is_file() or number == 0))
            fit(recipe, network, train, validation, run=own, draw_weights=draw_weights)
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, finished)
        members.append(load_file(finished))
    network.load_state_dict({key: _mean([member[key] for member in members]) for key in start})
    return network.cpu().eval()


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Counters of batches, which are whole numbers, stay the first member's."""
    return torch.stack(tensors).mean(0) if tensors[0].is_floating_point() else tensors[0]
