"""Short but whole training runs on drawn images that differ by class."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.errors import ConfigurationError
from ml.classifier import Classifier
from ml.evaluation import evaluate_samples
from ml.holdout import hold_out
from ml.networks import Network
from ml.readers import read_class_folders
from ml.recipe import Recipe, Stage, load_recipe, recipe_names
from ml.release import Release, train_and_release
from ml.stress import STRESSES, SWAPS
from ml.training import FineTuning, Run
from ml.weights import load_record
from tests.ml.conftest import radiograph


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 patients; pneumonia is white where the lungs were, in one lung when it is bacterial."""
    root = tmp_path_factory.mktemp("drawn")
    for number in range(96):
        image = radiograph(number, 80, 80)
        kind = "virus" if number % 4 == 1 else "bacteria"
        if number % 2:
            image[20:60, : 80 if kind == "virus" else 40] += 0.4
        folder = "PNEUMONIA" if number % 2 else "NORMAL"
        name = f"person{number}_{kind}_1.png" if number % 2 else f"IM-{number:04}-0001.png"
        (root / folder).mkdir(exist_ok=True)
        Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8)).save(root / folder / name)
    return root


def small(recipe: Recipe, epochs: int = 1) -> Recipe:
    """The recipe on small images and in few steps, where averages over hundreds would still be the random start."""
    return replace(
        recipe,
        preprocessing=replace(recipe.preprocessing, size=80),
        augmentation=load_recipe("resnet18_gray").augmentation,
        stages=tuple(replace(stage, epochs=epochs) for stage in recipe.stages),
        batch_size=8,
        ema_decay=0.2 if recipe.ema_decay else 0.0,
        members=1,
    )


def run(recipe: Recipe, folders: Path, out: Path, *, init: str = "none", resume: bool = False) -> Release:
    return train_and_release(recipe, data=folders, init=init, run=Run(out, seed=1, resume=resume))


def test_a_run_writes_weights_record_curves_and_log(folders: Path, network: Network, tmp_path: Path) -> None:
    init = tmp_path / "init.pth"
    torch.save({f"features.{key}": value for key, value in network.backbone.state_dict().items()}, init)
    recipe = small(load_recipe("mobilenet_v2"), epochs=2)
    stages = (replace(recipe.stages[0], head_learning_rate=0.02),)
    out = tmp_path / "run"

    release = run(replace(recipe, stages=stages, members=2), folders, out, init=str(init))

    assert {file.name for file in out.iterdir()} == {
        "member-1", "member-2", "mobilenet_v2.json", "mobilenet_v2.safetensors", "run.json",
    }  # fmt: skip
    members = [load_file(out / f"member-{number}" / "weights.safetensors") for number in (1, 2)]
    stem = "backbone.0.0.weight"
    assert torch.equal(load_file(release.weights)[stem], (members[0][stem] + members[1][stem]) / 2)
    with (out / "member-2" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row[name]) > 0 for row in rows for name in ("train_loss", "val_loss", "val_auc"))
    assert 0.02 > float(rows[0]["lr_head"]) > float(rows[1]["lr_head"])
    assert "val_auc=" in (out / "member-2" / "training.log").read_text()
    record = load_record(release.weights)
    assert record.provenance["initial_weights"] == "init.pth"
    assert record.provenance["training_data"]["patients"] + record.provenance["validation_data"]["patients"] == 96
    summary = json.loads((out / "run.json").read_text())
    assert set(summary["figures"]["stress_copies"]) == set(STRESSES)
    assert set(summary["figures"]["swaps"]) == set(SWAPS)
    assert summary["figures"]["plain"]["auc"] == pytest.approx(release.evaluation.auc, abs=1e-4)
    assert release.evaluation.auc > 0.6
    # What the record promises is what the shipped road finds on the same images.
    split = hold_out(read_class_folders(folders), "patients", seed=1)
    again = evaluate_samples(Classifier.load(release.weights), split.validation, lambda _done: None)
    assert again.confusion == release.evaluation.confusion
    assert again.auc == pytest.approx(release.evaluation.auc, abs=1e-3)


@pytest.mark.parametrize("name", sorted(set(recipe_names()) - {"mobilenet_v2", "resnet18_gray"}))
def test_every_recipe_trains_and_serves(name: str, folders: Path, tmp_path: Path) -> None:
    recipe = small(load_recipe(name))
    options = Run(tmp_path, seed=1, precision="32", tensorboard=True)
    release = train_and_release(recipe, data=folders, init="none", run=options, limit=48)
    assert release.run["images"] == {"train": 48, "validation": 12}
    assert list(tmp_path.rglob("events.out.tfevents*"))
    [(prediction, heatmap)] = Classifier.load(release.weights).classify([radiograph(0, 90, 70)])
    assert prediction.label == "pneumonia"
    assert [label for label, _ in prediction.classes] == (list(recipe.outputs) if len(recipe.outputs) > 2 else [])
    assert sum(share for _, share in prediction.classes) == pytest.approx(1.0 if prediction.classes else 0.0)
    assert np.isfinite(heatmap.values).all()


def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MixUp, dropout, averaging and a schedule: all that has a state or draws numbers.
    recipe = replace(
        small(load_recipe("mobilenet_v2"), epochs=2),
        architecture="resnet18",
        stages=(Stage(1, 4, 1e-3, 1e-3), Stage(1, 2, 1e-4, 1e-4)),
        members=2,
        mixup_alpha=0.2,
        cutmix_alpha=1.0,
    )
    whole = run(recipe, folders, tmp_path / "whole")

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "on_train_epoch_start", _stop_in_last_epoch(FineTuning.on_train_epoch_start))
        with pytest.raises(RuntimeError, match="power cut"):
            run(recipe, folders, tmp_path / "cut")
    resumed = run(recipe, folders, tmp_path / "cut", resume=True)

    expected, found = load_file(whole.weights), load_file(resumed.weights)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert resumed.run["figures"] == whole.run["figures"]
    curves = [(tmp_path / name / "member-2" / "metrics.csv").read_text() for name in ("whole", "cut")]
    assert [_without_seconds(curve) for curve in curves] == [_without_seconds(curves[0])] * 2


def _stop_in_last_epoch(usual: Any) -> Any:
    def hook(module: FineTuning) -> None:
        if module.current_epoch == 1 and module.seed == 2:  # of the second member
            raise RuntimeError("power cut")
        usual(module)

    return hook


def _without_seconds(curve: str) -> list[str]:
    return [line.rsplit(",", 1)[0] for line in curve.splitlines()]


def test_there_must_be_something_to_resume(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to resume"):
        run(small(load_recipe("resnet18_gray")), folders, tmp_path, resume=True)


def test_a_new_run_does_not_mix_with_an_earlier_one(folders: Path, tmp_path: Path) -> None:
    left = tmp_path / "member-1" / "checkpoints" / "last.ckpt"
    left.parent.mkdir(parents=True)
    left.touch()
    with pytest.raises(ConfigurationError, match="--resume, or give another --out"):
        run(small(load_recipe("resnet18_gray")), folders, tmp_path)


def test_too_few_images_for_a_schedule_are_an_error(folders: Path, tmp_path: Path) -> None:
    recipe = replace(small(load_recipe("resnet18_gray")), batch_size=64)
    with pytest.raises(ConfigurationError, match="give more images or epochs"):
        run(recipe, folders, tmp_path)


def test_three_classes_need_names_that_say_which(folders: Path, tmp_path: Path) -> None:
    for path in (folders / "PNEUMONIA").iterdir():
        target = tmp_path / "PNEUMONIA" / path.name.replace("_bacteria", "").replace("_virus", "")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "NORMAL").symlink_to(folders / "NORMAL")
    with pytest.raises(ConfigurationError, match="bacteria or virus"):
        run(small(load_recipe("mobilenet_v2_etiology")), tmp_path, tmp_path / "out")
