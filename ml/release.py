"""From class folders to a weights file with its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from ml.calibration import Labels, Logits, calibrated, choose_threshold, fit_temperature_and_offset
from ml.data import CLASSES, Sample, load_images, split_by_patient
from ml.evaluation import Evaluation, evaluate
from ml.networks import BUILDERS, Network, initialise, shift_logits
from ml.readers import read_samples
from ml.recipe import Recipe
from ml.stress import STRESSES
from ml.training import VALIDATION_BATCH, fit
from ml.weights import WeightsRecord, digest_of, save_record

MANUFACTURER = "pneumo"
VALIDATION_PARTS = 8
"""One patient in so many is held out."""


def train_and_release(
    recipe: Recipe, *, data: Path, init: str | None, out: Path, epochs: int | None = None, seed: int = 0
) -> tuple[Path, Evaluation]:
    """Train and write ``<out>/<recipe's name>.safetensors``, its ``.json`` record and ``metrics.csv``.

    Returns the path of the weights and what they reach on the validation patients.

    Raises:
        ConfigurationError: data or starting weights that cannot be used.
    """
    epochs = epochs or recipe.epochs
    torch.manual_seed(seed)  # the new head
    network = BUILDERS[recipe.architecture](recipe.preprocessing, dropout=recipe.dropout)
    source = initialise(network, recipe.architecture, init)
    split = split_by_patient(read_samples(data), parts=VALIDATION_PARTS, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    images, labels = _tensors(split.validation, recipe)
    fit(recipe, network, _tensors(split.train, recipe), (images, labels), epochs=epochs, seed=seed, out=out)

    truth = labels.numpy()
    temperature, offset = fit_temperature_and_offset(logits_of(network, images), truth)
    shift_logits(network, offset)
    copies = {copy: calibrated(logits_of(network, stress(images)), temperature) for copy, stress in STRESSES.items()}
    threshold = choose_threshold(
        np.concatenate([*copies.values()]), np.tile(truth, len(copies)), sensitivity=recipe.sensitivity
    )
    path = out / f"{recipe.name}.safetensors"
    _write(network, path)
    patients = [sample.patient for sample in split.validation]
    evaluation = evaluate(truth, copies["plain"], threshold, patients)
    digest = digest_of(path)
    record = WeightsRecord(
        name=recipe.name,
        version=f"{recipe.version}+{digest[:8]}",
        manufacturer=MANUFACTURER,
        architecture=recipe.architecture,
        digest=digest,
        labels=("pneumonia",),
        threshold=threshold,
        temperature=temperature,
        preprocessing=recipe.preprocessing,
        provenance={
            "training_data": _counts(split.train),
            "validation_data": _counts(split.validation),
            "split": f"by patient, one part of {VALIDATION_PARTS}, seed {seed}",
            "initial_weights": source,
            "recipe": recipe.as_json(),
            "epochs": epochs,
            "seed": seed,
            **_how_chosen(recipe),
        },
        metrics={
            "validation": evaluation.as_json(),
            "stress_copies": {copy: _summary(truth, values, threshold, patients) for copy, values in copies.items()},
        },
    )
    save_record(record, path)
    return path, evaluation


def logits_of(network: Network, images: torch.Tensor) -> Logits:
    """(N, 1, S, S) uint8 to (N,) float64, computed in float32 as in service."""
    with torch.inference_mode():
        batches = [network(batch.float() / 255.0)[:, 0] for batch in images.split(VALIDATION_BATCH)]
    return torch.cat(batches).double().numpy()


def _how_chosen(recipe: Recipe) -> dict[str, object]:
    return {
        "epoch_kept": "averaged weights of the epoch with the highest mean AUC over the stress copies",
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


def _summary(labels: Labels, probabilities: Logits, threshold: float, patients: Sequence[str]) -> dict[str, float]:
    figures = evaluate(labels, probabilities, threshold, patients, resamples=0)
    return {"auc": figures.auc, "sensitivity": figures.sensitivity, "specificity": figures.specificity}


def _write(network: Network, path: Path) -> None:
    """Aside first, then renamed: a file under the final name is whole."""
    partial = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, partial)
    partial.chmod(0o644)  # safetensors makes files that only their owner can read
    partial.replace(path)


def _tensors(samples: Sequence[Sample], recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    return load_images(samples, recipe.preprocessing), torch.tensor([sample.label for sample in samples])


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    counts = {name: sum(sample.label == label for sample in samples) for label, name in enumerate(CLASSES)}
    return {"images": len(samples), "patients": len({sample.patient for sample in samples}), **counts}
