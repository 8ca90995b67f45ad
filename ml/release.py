"""From class folders to a weights file with its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from ml.calibration import calibrated, choose_threshold, fit_temperature
from ml.data import CLASSES, Sample, load_images, read_class_folders, split_by_patient
from ml.evaluation import Evaluation, evaluate
from ml.networks import BUILDERS, Network, initialise
from ml.recipe import Recipe, load_recipe
from ml.stress import STRESSES
from ml.training import VALIDATION_BATCH, fit
from ml.weights import WeightsRecord, digest_of, save_record

MANUFACTURER = "pneumo"
VALIDATION_PARTS = 8
"""One patient in so many is held out."""


def train_and_release(
    name: str, *, data: Path, init: str | None, out: Path, epochs: int | None = None, seed: int = 0
) -> tuple[Path, Evaluation]:
    """Train a recipe and write ``<out>/<name>.safetensors``, its ``.json`` record and ``metrics.csv``.

    Raises:
        ConfigurationError: no such recipe, data or starting weights that cannot be used.
    """
    recipe = load_recipe(name)
    epochs = epochs or recipe.epochs
    torch.manual_seed(seed)  # the new head
    network = BUILDERS[recipe.architecture](recipe.preprocessing, dropout=recipe.dropout)
    source = initialise(network, recipe.architecture, init)
    split = split_by_patient(read_class_folders(data), parts=VALIDATION_PARTS, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    images, labels = _tensors(split.validation, recipe)
    fit(recipe, network, _tensors(split.train, recipe), (images, labels), epochs=epochs, seed=seed, out=out)

    path = out / f"{name}.safetensors"
    # Written aside and renamed: a file under the final name is whole.
    partial = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, partial)
    partial.chmod(0o644)  # safetensors makes files only their owner can read
    partial.replace(path)

    truth = labels.numpy()
    copies = {name: logits_of(network, stress(images)) for name, stress in STRESSES.items()}
    temperature = fit_temperature(copies["plain"], truth)
    probabilities = {name: calibrated(logits, temperature) for name, logits in copies.items()}
    together, repeated = np.concatenate([*probabilities.values()]), np.tile(truth, len(copies))
    threshold = min(
        choose_threshold(probabilities["plain"], truth, sensitivity=recipe.sensitivity),
        choose_threshold(together, repeated, sensitivity=recipe.sensitivity_stressed),
    )
    patients = [sample.patient for sample in split.validation]
    evaluation = evaluate(truth, probabilities["plain"], threshold, patients)
    stressed = {
        name: evaluate(truth, values, threshold, patients, resamples=0) for name, values in probabilities.items()
    }
    digest = digest_of(path)
    save_record(
        WeightsRecord(
            name=name,
            version=f"{recipe.version}+{digest[:8]}",
            manufacturer=MANUFACTURER,
            architecture=recipe.architecture,
            digest=digest,
            labels=("pneumonia",),
            threshold=threshold,
            temperature=temperature,
            preprocessing=recipe.preprocessing,
            provenance={
                "data": {
                    "training": _counts(split.train),
                    "validation": _counts(split.validation),
                    "split": f"by patient, one part of {VALIDATION_PARTS}, seed {seed}",
                },
                "initial_weights": source,
                "recipe": recipe.as_json(),
                "epochs": epochs,
                "seed": seed,
                "kept": "averaged weights of the epoch with the highest mean AUC over the stress copies",
                "temperature": "least negative log likelihood on the validation patients",
                "threshold": (
                    f"highest that keeps sensitivity {recipe.sensitivity} on the validation patients and "
                    f"{recipe.sensitivity_stressed} on their stress copies"
                ),
                "software": {
                    "torch": torch.__version__,
                    "torchvision": torchvision.__version__,
                    "lightning": lightning.__version__,
                },
            },
            metrics={
                "validation": evaluation.as_json(),
                "stress": {
                    name: {"auc": e.auc, "sensitivity": e.sensitivity, "specificity": e.specificity}
                    for name, e in stressed.items()
                },
            },
        ),
        path,
    )
    return path, evaluation


def logits_of(network: Network, images: torch.Tensor) -> np.ndarray:
    """(N, 1, S, S) uint8 to (N,) float64, computed in float32 as in service."""
    with torch.inference_mode():
        batches = [network(batch.float() / 255.0)[:, 0] for batch in images.split(VALIDATION_BATCH)]
    return torch.cat(batches).double().numpy()


def _tensors(samples: Sequence[Sample], recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    return load_images(samples, recipe.preprocessing), torch.tensor([sample.label for sample in samples])


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    counts = {name: sum(sample.label == label for sample in samples) for label, name in enumerate(CLASSES)}
    return {"images": len(samples), "patients": len({sample.patient for sample in samples}), **counts}
