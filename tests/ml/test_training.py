"""A short but whole training run on drawn images that differ by class."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import ConfigurationError
from ml.augmentation import RandomBorder, RandomGamma
from ml.classifier import Classifier
from ml.data import split_by_patient
from ml.evaluation import evaluate_samples
from ml.networks import Network, mobilenet_v2
from ml.preprocessing import Preprocessing
from ml.readers import read_class_folders
from ml.recipe import load_recipe, recipe_names
from ml.release import VALIDATION_PARTS, train_and_release
from ml.stress import STRESSES
from ml.weights import load_record
from tests.ml.conftest import radiograph


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 patients; pneumonia is white where the lungs were."""
    root = tmp_path_factory.mktemp("drawn")
    for number in range(96):
        image = radiograph(number, 80, 80)
        if number % 2:
            image[20:60] = np.maximum(image[20:60], 0.8)
        folder = "PNEUMONIA" if number % 2 else "NORMAL"
        name = f"person{number}_virus_1.png" if number % 2 else f"IM-{number:04}-0001.png"
        (root / folder).mkdir(exist_ok=True)
        Image.fromarray((image * 255).astype(np.uint8)).save(root / folder / name)
    return root


def test_a_run_writes_weights_record_and_curves(folders: Path, network: Network, tmp_path: Path) -> None:
    init = tmp_path / "init.pth"
    torch.save({f"features.{key}": value for key, value in network.backbone.state_dict().items()}, init)
    # A handful of steps: averages over hundreds would still be the random start.
    recipe = replace(load_recipe("mobilenet_v2"), batch_size=16, ema_decay=0.2, head_learning_rate=0.02)
    out = tmp_path / "run"

    path, evaluation = train_and_release(recipe, data=folders, init=str(init), out=out, epochs=2, seed=1)

    assert {file.name for file in out.iterdir()} == {"metrics.csv", "mobilenet_v2.json", "mobilenet_v2.safetensors"}
    with (out / "metrics.csv").open() as file:
        assert sum(bool(row["val_auc"]) for row in csv.DictReader(file)) == 2
    record = load_record(path)
    assert record.provenance["initial_weights"] == "init.pth"
    assert record.provenance["training_data"]["patients"] + record.provenance["validation_data"]["patients"] == 96
    assert set(record.metrics["stress_copies"]) == set(STRESSES)
    assert evaluation.auc > 0.6
    # What the record promises is what the shipped road finds on the same images.
    split = split_by_patient(read_class_folders(folders), parts=VALIDATION_PARTS, seed=1)
    again = evaluate_samples(Classifier.load(path), split.validation, lambda _done: None)
    assert again.confusion == evaluation.confusion
    assert again.auc == pytest.approx(evaluation.auc, abs=1e-3)


def test_an_unknown_recipe_names_those_there_are() -> None:
    assert "mobilenet_v2" in recipe_names()
    with pytest.raises(ConfigurationError, match="mobilenet_v2"):
        load_recipe("resnet_9000")


def test_augmentation_keeps_shape_and_range() -> None:
    augment = load_recipe("mobilenet_v2").augmentation
    torch.manual_seed(0)
    image = torch.randint(0, 256, (1, 224, 224), dtype=torch.uint8)
    first, second = augment(image), augment(image)
    for result in (first, second):
        assert result.shape == (1, 224, 224)
        assert result.dtype == torch.float32
        assert 0 <= float(result.min()) <= float(result.max()) <= 1
    assert not torch.equal(first, second)


def test_gamma_and_border_change_what_they_say() -> None:
    torch.manual_seed(1)
    grey = torch.full((1, 100, 100), 100, dtype=torch.uint8)
    assert len({int(RandomGamma(0.5, 2.0)(grey)[0, 0, 0]) for _ in range(8)}) > 4
    bordered = RandomBorder(widest=0.1, p=1.0)(grey)
    assert (bordered[:, 10:-10, 10:-10] == 100).all()
    assert (bordered != 100).any()
    assert torch.equal(RandomBorder(widest=0.1, p=0.0)(grey), grey)


@pytest.mark.parametrize("name", STRESSES)
def test_a_stress_copy_changes_the_image_and_not_its_form(name: str) -> None:
    images = (torch.from_numpy(np.stack([radiograph(s, 224, 224) for s in range(2)]))[:, None] * 255).to(torch.uint8)
    stressed = STRESSES[name](images)
    assert stressed.shape == images.shape
    assert stressed.dtype == torch.uint8
    assert torch.equal(stressed, STRESSES[name](images))
    assert torch.equal(stressed, images) == (name == "plain")


def test_frozen_blocks_do_not_move() -> None:
    network = mobilenet_v2(Preprocessing())
    network.freeze(4)
    network.train()
    assert not any(p.requires_grad for p in network.backbone[:4].parameters())
    assert not any(m.training for m in network.backbone[:4].modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert network.backbone[4].training
