"""Networks, losses, schedules, orders and random changes, each alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.errors import ConfigurationError
from ml.acquisition import AcquisitionModel, draw_weights, speaks_against
from ml.augmentation import RandomBorder, RandomResolution
from ml.borrowing import Borrowing, borrow_exposure, borrow_frame
from ml.epoch_data import EpochOrder, Radiographs
from ml.initial_weights import initialise
from ml.losses import WeightedLoss
from ml.networks import ARCHITECTURES, mobilenet_v2, pneumonia_logit, shift_logits
from ml.preprocessing import Preprocessing
from ml.recipe import Freeze, Loss, load_recipe, overridden, recipe_names
from ml.schedules import learning_rate_factor, stage_at
from ml.stress import STRESSES, SWAPS, one_stress_each
from tests.ml.conftest import radiograph


def _images(n: int, side: int = 64) -> torch.Tensor:
    return (torch.from_numpy(np.stack([radiograph(s, side, side) for s in range(n)]))[:, None] * 255).to(torch.uint8)


def test_an_unknown_recipe_names_those_there_are() -> None:
    assert len(recipe_names()) == 8
    with pytest.raises(ConfigurationError, match=r"inception_v3_frozen.*mobilenet_v2.*resnet50_two_stage"):
        load_recipe("resnet_9000")


@pytest.mark.parametrize("name", recipe_names())
def test_augmentation_keeps_shape_and_range(name: str) -> None:
    augment, size = load_recipe(name).augmentation, load_recipe(name).preprocessing.size
    torch.manual_seed(0)
    image = torch.randint(0, 256, (1, size, size), dtype=torch.uint8)
    results = [augment(image) for _ in range(6)]
    for result in results:
        assert result.shape == (1, size, size)
        assert result.dtype == torch.float32
        assert 0 <= float(result.min()) <= float(result.max()) <= 1
    assert any(not torch.equal(result, results[0]) for result in results)


def test_the_command_line_overrides_what_a_recipe_says() -> None:
    two_stage = load_recipe("resnet50_two_stage")
    changed = overridden(two_stage, stage_epochs=(2, 3), loss="focal", settings=["head_learning_rate=0.5"])
    assert [stage.epochs for stage in changed.stages] == [2, 3]
    assert [stage.head_learning_rate for stage in changed.stages] == [0.5, 0.5]
    assert changed.loss == "focal"
    partial = load_recipe("resnet50_partial")
    changed = overridden(partial, epochs=4, settings=["batch_size=8", "mixup_alpha=0"])
    assert (changed.epochs, changed.batch_size, changed.mixup_alpha) == (4, 8, 0.0)
    for setting in ("speed=3", "batch_size=many", "name=x"):
        with pytest.raises(ConfigurationError, match="NAME=NUMBER with a name of: batch_size"):
            overridden(partial, settings=[setting])
    with pytest.raises(ConfigurationError, match="--stage1-epochs"):
        overridden(two_stage, epochs=5)
    with pytest.raises(ConfigurationError, match="give --epochs"):
        overridden(partial, stage_epochs=(1, None))
    with pytest.raises(ConfigurationError, match="cross_entropy or focal, not bce"):
        overridden(partial, loss="bce")


@pytest.mark.parametrize(("freeze", "blocks"), [("all", 8), ("partial", 6), ("none", 0)])
def test_the_three_freeze_strategies(freeze: Freeze, blocks: int) -> None:
    network = ARCHITECTURES["resnet50_512"].build(Preprocessing(), 2)
    network.freeze(overridden(load_recipe("resnet50_partial"), freeze=freeze).stages[0].frozen_blocks)
    assert network.frozen_blocks == blocks
    assert any(p.requires_grad for p in network.backbone.parameters()) == (freeze != "all")


def test_frozen_blocks_do_not_move_and_thaw_again() -> None:
    network = mobilenet_v2(Preprocessing())
    network.train()
    network.freeze(4)
    assert not any(p.requires_grad for p in network.backbone[:4].parameters())
    assert not any(m.training for m in network.backbone[:4].modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert network.backbone[4].training
    network.freeze(0)
    assert all(p.requires_grad for p in network.backbone.parameters())
    assert network.backbone[0].training


def test_log_odds_of_pneumonia_agree_with_softmax() -> None:
    logits = torch.tensor([[0.3, 1.2, -0.4], [2.0, 0.1, 0.1]])
    assert torch.sigmoid(pneumonia_logit(logits)) == pytest.approx(1 - logits.softmax(1)[:, 0])
    assert torch.equal(pneumonia_logit(logits[:, :1]), logits[:, 0])


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_an_offset_moves_the_log_odds_alone(outputs: int) -> None:
    network = mobilenet_v2(Preprocessing(), outputs).eval()
    features = torch.rand(2, 1280, 2, 2)
    with torch.no_grad():
        before = pneumonia_logit(network.head(features))
        shift_logits(network, 0.7)
        assert pneumonia_logit(network.head(features)) - before == pytest.approx(torch.full((2,), 0.7), abs=1e-5)


def test_one_channel_starts_from_the_sum_of_three(tmp_path: Path) -> None:
    three = ARCHITECTURES["resnet18"].build(Preprocessing(), 1)
    torch.save(three.backbone.state_dict(), tmp_path / "resnet18.pth")
    one = ARCHITECTURES["resnet18"].build(load_recipe("resnet18_gray").preprocessing, 1)
    assert initialise(one, "resnet18", str(tmp_path / "resnet18.pth")) == "resnet18.pth"
    assert torch.equal(one.backbone.conv1.weight, three.backbone.conv1.weight.sum(1, keepdim=True))
    with pytest.raises(ConfigurationError, match="no state dict of torchvision's mobilenet_v2"):
        initialise(mobilenet_v2(Preprocessing()), "mobilenet_v2", str(tmp_path / "resnet18.pth"))


@pytest.mark.parametrize(("kind", "outputs"), [("bce", 1), ("cross_entropy", 2), ("focal", 1), ("focal", 3)])
def test_rare_classes_weigh_more(kind: Loss, outputs: int) -> None:
    classes = max(2, outputs)
    loss = WeightedLoss(kind, [1] + [3] * (classes - 1), label_smoothing=0.0)
    wrong = [loss(torch.zeros(1, outputs), functional.one_hot(torch.tensor([c]), classes).float()) for c in (0, 1)]
    assert wrong[0] / wrong[1] == pytest.approx(3.0)


def test_losses_are_the_published_ones() -> None:
    logits, targets = torch.tensor([[1.5, -0.5]]), torch.tensor([[0.2, 0.8]])
    even = [5, 5]
    expected = -(targets * logits.log_softmax(1)).sum()
    assert WeightedLoss("cross_entropy", even, 0.0)(logits, targets) == pytest.approx(expected)
    smoothed = WeightedLoss("cross_entropy", even, 0.1)(logits, targets)
    assert smoothed == pytest.approx(-((targets * 0.9 + 0.05) * logits.log_softmax(1)).sum())
    certain = WeightedLoss("focal", even, 0.0)(torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, 1.0]]))
    share = torch.sigmoid(torch.tensor(4.0))
    assert certain == pytest.approx(float((1 - share) ** 2 * -share.log()))


def test_the_cosine_rises_and_falls_and_stages_follow_each_other() -> None:
    recipe = load_recipe("resnet50_partial")
    rates = [3e-4 * learning_rate_factor(recipe, step, 10, 3e-4) for step in range(300)]
    assert np.argmax(rates) == 30
    assert rates[0] < 3e-5
    assert max(rates) == pytest.approx(3e-4)
    assert rates[-1] == pytest.approx(1e-6, rel=0.1)
    two_stage = load_recipe("resnet50_two_stage")
    assert [stage_at(two_stage, epoch).frozen_blocks for epoch in (0, 7, 8, 12, 99)] == [8, 8, 7, 7, 7]


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(EpochOrder(50, seed, lambda: epoch))

    assert order(0, 3) == order(0, 3)
    assert sorted(number % 50 for number in order(0, 3)) == list(range(50))
    assert [n % 50 for n in order(0, 3)] != [n % 50 for n in order(0, 4)]
    assert order(0, 3) != order(1, 3)
    rare = EpochOrder(50, 0, lambda: 0, torch.tensor([1.0] * 49 + [0.0]))
    assert 49 not in {number % 50 for number in rare}


def test_an_image_changes_by_epoch_and_never_by_who_asks() -> None:
    images, classes = _images(4), torch.zeros(4, dtype=torch.int64)
    recipe = load_recipe("mobilenet_v2")
    first = Radiographs(images, classes, recipe.augmentation, 0, recipe.borrowing)
    second = Radiographs(images, classes, recipe.augmentation, 0, recipe.borrowing)
    second[1]
    assert torch.equal(first[2][0], second[2][0])
    assert not torch.equal(first[2][0], first[2 + 4][0])


def test_border_and_resolution_change_what_they_say() -> None:
    torch.manual_seed(1)
    grey = torch.full((1, 100, 100), 100, dtype=torch.uint8)
    bordered = RandomBorder(widest=0.1, p=1.0)(grey)
    assert (bordered[:, 10:-10, 10:-10] == 100).all()
    assert (bordered != 100).any()
    assert torch.equal(RandomBorder(widest=0.1, p=0.0)(grey), grey)
    noise = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    spreads = [float(RandomResolution(0.3, 5.0, p=1.0)(noise).float().std()) for _ in range(12)]
    assert min(spreads) < float(noise.float().std()) < max(spreads)
    assert torch.equal(RandomResolution(0.3, 5.0, p=0.0)(noise), noise)


def test_borrowing_takes_exposure_and_frame_and_leaves_the_inside() -> None:
    image, lender = _images(2, 90)[0], torch.randint(0, 60, (1, 90, 90), dtype=torch.uint8)
    assert float(borrow_exposure(image, lender, 1.0).float().mean()) == pytest.approx(
        float(lender.float().mean()), abs=2
    )
    assert torch.equal(borrow_exposure(image, lender, 0.0), image)
    framed = borrow_frame(image, lender, (9, 8, 7, 6))
    assert torch.equal(framed[:, 9:-8, 7:-6], image[:, 9:-8, 7:-6])
    assert torch.equal(framed[:, :9], lender[:, :9])
    torch.manual_seed(0)
    never, always = Borrowing(0.0, 0.0, 0.1), Borrowing(1.0, 1.0, 0.1)
    assert torch.equal(never(image, lender[None]), image)
    assert not torch.equal(always(image, lender[None]), image)


@pytest.mark.parametrize("name", STRESSES)
def test_a_stress_copy_changes_the_image_and_not_its_form(name: str) -> None:
    images = _images(2, 224)
    stressed = STRESSES[name](images)
    assert stressed.shape == images.shape
    assert stressed.dtype == torch.uint8
    assert torch.equal(stressed, STRESSES[name](images))
    assert torch.equal(stressed, images) == (name == "plain")


@pytest.mark.parametrize("name", SWAPS)
def test_a_swap_gives_each_class_the_acquisition_of_the_other(name: str) -> None:
    images, labels = _images(4, 90), torch.tensor([0, 1, 0, 1])
    swapped = SWAPS[name](images, labels)
    assert swapped.shape == images.shape
    assert torch.equal(swapped, SWAPS[name](images, labels))
    assert all(not torch.equal(before, after) for before, after in zip(images, swapped, strict=True))


def test_each_image_gets_one_stress_in_turn() -> None:
    images = _images(len(STRESSES) + 1, 90)
    stressed = one_stress_each(images)
    assert torch.equal(stressed[0], images[0])
    assert torch.equal(stressed[-1], images[-1])
    assert not any(torch.equal(stressed[i], images[i]) for i in range(1, len(STRESSES)))


def test_acquisition_that_tells_the_label_is_found_and_outweighed() -> None:
    images, labels = _images(60), np.arange(60) % 2
    images[labels == 1] = images[labels == 1] // 2 + 60
    images[0], images[1] = images[0] // 2 + 60, _images(2)[1]  # two that look like the other class
    model = AcquisitionModel.fit(images[2:], labels[2:])
    against = speaks_against(model.score(images), labels)
    assert against[:2].all()
    assert not against[2:].any()
    weights = draw_weights(images, labels, [str(n) for n in range(60)], strength=0.7)
    assert weights[:2].min() > 2 * weights[2:].max()
    assert float(weights[labels == 0].mean()) == pytest.approx(1.0)


def test_recipes_say_what_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="unknown architecture"):
        replace(load_recipe("mobilenet_v2"), architecture="vgg")
