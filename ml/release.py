"""From labelled radiographs to a weights file with its record."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from core.errors import ConfigurationError
from ml import acquisition, novelty_fitting
from ml.data import CLASSES, Sample, Split, load_images
from ml.evaluation import Evaluation
from ml.holdout import HoldOut, hold_out
from ml.initial_weights import initialise
from ml.networks import ARCHITECTURES
from ml.readers import read_samples
from ml.recipe import ETIOLOGY, Recipe
from ml.soup import fit_members
from ml.stress import STRESSES
from ml.training import Run
from ml.training_log import seconds_of_epochs
from ml.validation import Judgement, Validation
from ml.weights import WeightsRecord, digest_of, save_record

MANUFACTURER = "pneumo"


@dataclass(frozen=True, slots=True)
class Release:
    weights: Path
    evaluation: Evaluation
    """Of the validation patients."""
    run: dict[str, Any]
    """What ``run.json`` holds."""


def train_and_release(
    recipe: Recipe, *, data: Path, init: str | None, run: Run, by: HoldOut = "patients", limit: int | None = None
) -> Release:
    """Train; write ``<recipe's name>.safetensors`` with its record, ``run.json`` and the curves into ``run.out``.

    Args:
        limit: train and validate on so many images only, drawn at random; for trying things out.

    Raises:
        ConfigurationError: data or starting weights that cannot be used, or an earlier run in ``run.out``.
    """
    _refuse_earlier_run(run)
    torch.manual_seed(run.seed)  # the new head, and a random start
    network = ARCHITECTURES[recipe.architecture].build(recipe.preprocessing, len(recipe.outputs))
    source = initialise(network, recipe.architecture, init)
    split = _at_most(hold_out(read_samples(data), by, run.seed), limit, run.seed)
    run.out.mkdir(parents=True, exist_ok=True)
    images, classes = load_images(split.train, recipe.preprocessing), _classes(split.train, recipe)
    held_out, held_out_classes = load_images(split.validation, recipe.preprocessing), _classes(split.validation, recipe)
    draw_weights = _draw_weights(recipe, split, images)
    fit_members(recipe, network, (images, classes), (held_out, held_out_classes), run=run, draw_weights=draw_weights)
    fitted = time.monotonic()

    validation = Validation(
        held_out,
        (held_out_classes > 0).long().numpy(),
        [sample.patient for sample in split.validation],
        acquisition.AcquisitionModel.fit(images, (classes > 0).long().numpy()).score(held_out),
    )
    judgement = Judgement.of(network, validation, sensitivity=recipe.sensitivity, seed=run.seed)
    evaluation, figures = judgement.evaluation(), judgement.figures()
    path = run.out / f"{recipe.name}.safetensors"
    # A try on a handful of images has too few for a gate.
    enough = min(len(images), len(held_out)) >= novelty_fitting.FEWEST
    gate, gate_record = novelty_fitting.fit(network, images, held_out) if enough else ({}, None)
    _write({**network.state_dict(), **gate}, path)
    digest = digest_of(path)
    record = WeightsRecord(
        name=recipe.name,
        version=f"{recipe.version}+{digest[:8]}",
        manufacturer=MANUFACTURER,
        architecture=recipe.architecture,
        digest=digest,
        labels=recipe.outputs,
        threshold=judgement.threshold,
        temperature=judgement.temperature,
        preprocessing=recipe.preprocessing,
        novelty=gate_record,
        provenance={
            "training_data": _counts(split.train),
            "validation_data": _counts(split.validation),
            "hold_out": by,
            "initial_weights": source,
            "recipe": recipe.as_json(),
            "epochs": recipe.epochs,
            "seed": run.seed,
            "calibration": judgement.calibration,
            "software": {module.__name__: module.__version__ for module in (torch, torchvision, lightning)},
            **_how_chosen(recipe),
        },
        metrics={"validation": evaluation.as_json(), **figures},
    )
    save_record(record, path)
    summary = {
        "recipe": recipe.name,
        "version": record.version,
        "hold_out": by,
        "seed": run.seed,
        "limit": limit,
        "initial_weights": source,
        "images": {"train": len(split.train), "validation": len(split.validation)},
        "epochs": recipe.epochs,
        "minutes": round((seconds_of_epochs(run.out) + time.monotonic() - fitted) / 60, 1),
        "options": recipe.as_json(),
        "ece": {name: judgement.calibration[name] for name in ("ece_before", "ece_after")},
        "figures": figures,
    }
    (run.out / "run.json").write_text(json.dumps(summary, indent=2) + "\n")
    return Release(path, evaluation, summary)


def _refuse_earlier_run(run: Run) -> None:
    """Whose checkpoints a later --resume would take for this run's."""
    if not run.resume and any(run.out.glob("**/last.ckpt")):
        raise ConfigurationError(f"{run.out} holds an earlier run: go on with --resume, or give another --out")


def _draw_weights(recipe: Recipe, split: Split, images: torch.Tensor) -> torch.Tensor | None:
    if not recipe.against_the_grain:
        return None
    labels = np.array([sample.label for sample in split.train])
    patients = [sample.patient for sample in split.train]
    return acquisition.draw_weights(images, labels, patients, recipe.against_the_grain)


def _classes(samples: Sequence[Sample], recipe: Recipe) -> torch.Tensor:
    """(N,) int64: the label, or for the three-class recipe the kind of pneumonia.

    Raises:
        ConfigurationError: a kind is asked for that the data does not name.
    """
    if recipe.outputs != ETIOLOGY:
        return torch.tensor([sample.label for sample in samples])
    index = {"": 0, "bacteria": 1, "virus": 2}
    if any(sample.label == 1 and not index.get(sample.subgroup) for sample in samples):
        raise ConfigurationError(f"{recipe.name} needs file names that say bacteria or virus for each pneumonia")
    return torch.tensor([index[sample.subgroup] if sample.label else 0 for sample in samples])


def _at_most(split: Split, limit: int | None, seed: int) -> Split:
    """``limit`` images of either part, in their order."""

    def drawn(samples: Sequence[Sample]) -> tuple[Sample, ...]:
        chosen = np.random.default_rng(seed).permutation(len(samples))[:limit]
        return tuple(samples[i] for i in sorted(chosen))

    return Split(drawn(split.train), drawn(split.validation))


def _how_chosen(recipe: Recipe) -> dict[str, str]:
    return {
        "epoch_kept": f"{'averaged ' if recipe.ema_decay else ''}weights of the epoch with the best {recipe.keep}",
        "temperature": "Platt scaling on the validation patients; its offset is in the last layer's bias",
        "threshold": (
            f"highest that keeps sensitivity {recipe.sensitivity} over the validation patients' images and their "
            f"stress copies ({', '.join(STRESSES)})"
        ),
    }


def _write(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Aside first, then renamed: a file under the final name is whole."""
    partial = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in tensors.items()}, partial)
    partial.chmod(0o644)  # safetensors makes files that only their owner can read
    partial.replace(path)


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    counts = {name: sum(sample.label == label for sample in samples) for label, name in enumerate(CLASSES)}
    return {"images": len(samples), "patients": len({sample.patient for sample in samples}), **counts}
