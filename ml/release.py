"""From labelled radiographs to a weights file with its record."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
import torchvision
from safetensors.torch import save_file

from core.errors import ConfigurationError
from ml import acquisition
from ml.calibration import Labels, Logits, calibrated, choose_threshold, fit_temperature_and_offset
from ml.data import CLASSES, Sample, Split, load_images
from ml.evaluation import Evaluation, evaluate, expected_calibration_error
from ml.holdout import HoldOut, hold_out
from ml.initial_weights import initialise
from ml.networks import ARCHITECTURES, Network, pneumonia_logit, shift_logits
from ml.readers import read_samples
from ml.recipe import ETIOLOGY, Recipe
from ml.stress import STRESSES, SWAPS
from ml.training import VALIDATION_BATCH, Run, fit
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
        limit: train on so many images only, drawn at random; for trying things out.

    Raises:
        ConfigurationError: data or starting weights that cannot be used.
    """
    started = time.monotonic()
    torch.manual_seed(run.seed)  # the new head, and a random start
    network = ARCHITECTURES[recipe.architecture].build(recipe.preprocessing, len(recipe.outputs))
    source = initialise(network, recipe.architecture, init)
    split = _at_most(hold_out(read_samples(data), by, run.seed), limit, run.seed)
    run.out.mkdir(parents=True, exist_ok=True)
    train = load_images(split.train, recipe.preprocessing), _classes(split.train, recipe)
    images, classes = load_images(split.validation, recipe.preprocessing), _classes(split.validation, recipe)
    fit(recipe, network, train, (images, classes), run=run, draw_weights=_draw_weights(recipe, split, train[0]))

    truth = (classes > 0).long()
    judged = _calibrate(network, images, truth.numpy(), recipe.sensitivity)
    patients = [sample.patient for sample in split.validation]
    shortcut = acquisition.AcquisitionModel.fit(train[0], (train[1] > 0).long().numpy()).score(images)
    figures = {
        **_figures(judged, shortcut, patients),
        "swaps": {
            name: _summary(judged, calibrated(logits_of(network, swap(images, truth)), judged.temperature), patients)
            for name, swap in SWAPS.items()
        },
    }
    path = run.out / f"{recipe.name}.safetensors"
    _write(network, path)
    digest = digest_of(path)
    record = WeightsRecord(
        name=recipe.name,
        version=f"{recipe.version}+{digest[:8]}",
        manufacturer=MANUFACTURER,
        architecture=recipe.architecture,
        digest=digest,
        labels=recipe.outputs,
        threshold=judged.threshold,
        temperature=judged.temperature,
        preprocessing=recipe.preprocessing,
        provenance={
            "training_data": _counts(split.train),
            "validation_data": _counts(split.validation),
            "split": f"by {by}, seed {run.seed}",
            "initial_weights": source,
            "recipe": recipe.as_json(),
            "epochs": recipe.epochs,
            "seed": run.seed,
            "calibration": judged.calibration,
            **_how_chosen(recipe),
        },
        metrics={"validation": judged.evaluation(split).as_json(), **figures},
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
        "minutes": round((time.monotonic() - started) / 60, 1),
        "options": recipe.as_json(),
        "ece": {name: judged.calibration[name] for name in ("ece_before", "ece_after")},
        "figures": figures,
    }
    (run.out / "run.json").write_text(json.dumps(summary, indent=2) + "\n")
    return Release(path, judged.evaluation(split), summary)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The validation images as the finished model sees them."""

    labels: Labels
    probabilities: dict[str, Logits]
    """By stress copy; ``plain`` first."""
    temperature: float
    threshold: float
    calibration: dict[str, float]

    def evaluation(self, split: Split) -> Evaluation:
        patients = [sample.patient for sample in split.validation]
        return evaluate(self.labels, self.probabilities["plain"], self.threshold, patients)


def _calibrate(network: Network, images: torch.Tensor, labels: Labels, sensitivity: float) -> _Judged:
    raw = logits_of(network, images)
    temperature, offset = fit_temperature_and_offset(raw, labels)
    shift_logits(network, offset)
    copies = {copy: calibrated(logits_of(network, stress(images)), temperature) for copy, stress in STRESSES.items()}
    return _Judged(
        labels=labels,
        probabilities=copies,
        temperature=temperature,
        threshold=choose_threshold(
            np.concatenate([*copies.values()]), np.tile(labels, len(copies)), sensitivity=sensitivity
        ),
        calibration={
            "temperature": temperature,
            "offset": offset,
            "ece_before": expected_calibration_error(labels, calibrated(raw, 1.0)),
            "ece_after": expected_calibration_error(labels, copies["plain"]),
        },
    )


def _figures(judged: _Judged, shortcut: Logits, patients: Sequence[str]) -> dict[str, Any]:
    """Plain, stressed, and on the images whose acquisition speaks against their label.

    Args:
        shortcut: (N,) log odds of pneumonia from acquisition alone.
    """
    plain = judged.probabilities["plain"]
    against = acquisition.speaks_against(shortcut, judged.labels)
    of_both_classes = len(set(judged.labels[against].tolist())) == 2
    return {
        "plain": _summary(judged, plain, patients),
        "stress_copies": {copy: _summary(judged, values, patients) for copy, values in judged.probabilities.items()},
        "acquisition_alone": _summary(judged, calibrated(shortcut, 1.0), patients),
        "against_the_grain": _summary(judged, plain, patients, against) if of_both_classes else None,
    }


def _summary(
    judged: _Judged, probabilities: Logits, patients: Sequence[str], of: npt.NDArray[np.bool_] | None = None
) -> dict[str, float]:
    of = np.ones(len(probabilities), dtype=bool) if of is None else of
    names = np.array(patients)[of].tolist()
    figures = evaluate(judged.labels[of], probabilities[of], judged.threshold, names, resamples=0)
    chosen = ("auc", "accuracy", "sensitivity", "specificity")
    return {"n": figures.n, **{name: round(getattr(figures, name), 4) for name in chosen}}


def logits_of(network: Network, images: torch.Tensor) -> Logits:
    """(N, 1, S, S) uint8 to the log odds of pneumonia (N,) float64, computed in float32 as in service."""
    with torch.inference_mode():
        parts = [pneumonia_logit(network(part.float() / 255.0)) for part in images.split(VALIDATION_BATCH)]
    return torch.cat(parts).double().numpy()


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
    if limit is None or limit >= len(split.train):
        return split
    chosen = np.random.default_rng(seed).permutation(len(split.train))[:limit]
    return replace(split, train=tuple(split.train[i] for i in sorted(chosen)))


def _how_chosen(recipe: Recipe) -> dict[str, object]:
    return {
        "epoch_kept": f"{'averaged ' if recipe.ema_decay else ''}weights of the epoch with the best {recipe.keep}",
        "temperature": "Platt scaling on the validation patients; its offset is in the last layer's bias",
        "threshold": (
            f"highest that keeps sensitivity {recipe.sensitivity} over the validation patients' images and their "
            f"stress copies ({', '.join(STRESSES)})"
        ),
        "software": {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "lightning": lightning.__version__,
        },
    }


def _write(network: Network, path: Path) -> None:
    """Aside first, then renamed: a file under the final name is whole."""
    partial = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, partial)
    partial.chmod(0o644)  # safetensors makes files that only their owner can read
    partial.replace(path)


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    counts = {name: sum(sample.label == label for sample in samples) for label, name in enumerate(CLASSES)}
    return {"images": len(samples), "patients": len({sample.patient for sample in samples}), **counts}
