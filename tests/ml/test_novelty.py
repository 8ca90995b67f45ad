"""The gate on a network of random weights: what it can tell apart there, a trained one can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli.foreign_pictures import foreign_pictures
from cli.main import app
from cli.phantom import SAMPLES, draw
from core.errors import ConfigurationError
from core.records import Verdict
from ml.classifier import Classifier
from ml.networks import Network
from ml.novelty import PREFIX, Familiarity, Gate
from ml.novelty_fitting import fit
from ml.preprocessing import Preprocessing, read_image
from ml.weights import DEFAULT_WEIGHTS, digest_of, load_record, save_record
from ml.wrong_pictures import WRONG_PICTURES
from tests.ml.conftest import Image, radiograph
from tests.services import require_images


def _squares(seeds: range) -> torch.Tensor:
    """(N, 1, S, S) uint8"""
    squares = np.stack([Preprocessing().square(radiograph(seed)) for seed in seeds])
    return torch.from_numpy(np.rint(squares * 255).astype(np.uint8))[:, None]


def _rewrite(path: Path, tensors: dict[str, torch.Tensor], novelty: dict[str, Any] | None) -> None:
    record = load_record(path)
    save_file(tensors, path)
    save_record(record.model_copy(update={"digest": digest_of(path), "novelty": novelty}), path)


@pytest.fixture(scope="module")
def gated(network: Network, make_weights: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with a gate, fitted on the tests' own radiographs."""
    path = make_weights(tmp_path_factory.mktemp("gated"))
    tensors, record = fit(network, _squares(range(100, 164)), _squares(range(200, 224)))
    _rewrite(path, load_file(path) | tensors, record)
    return path


def _codes(verdict: Verdict) -> tuple[list[str], list[str]]:
    return [finding.code for finding in verdict.reasons], [finding.code for finding in verdict.warnings]


def _wrong(image: Image) -> dict[str, Image]:
    noise = np.random.default_rng(0).uniform(size=image.shape).astype(np.float32)
    return {
        "inverted": 1 - image,
        "left half": image[:, : image.shape[1] // 2].copy(),
        "noise": noise,
        "even grey": np.full_like(image, 0.4),
    }


def test_radiographs_get_an_answer_and_wrong_pictures_a_reason(gated: Path) -> None:
    classifier = Classifier.load(gated)
    image = radiograph(300)
    accepted = classifier.judge([image, np.ascontiguousarray(image[:, ::-1]), image**1.2])
    assert [verdict.reasons for verdict in accepted] == [()] * 3
    for kind, picture in _wrong(image).items():
        [verdict] = classifier.judge([picture])
        assert _codes(verdict) == (["not_a_known_radiograph"], []), kind
        assert verdict.prediction is None
        assert verdict.reasons[0].detail


def test_batch_mates_and_views_leave_the_verdict_alone(gated: Path) -> None:
    images = [radiograph(300), 1 - radiograph(300), radiograph(301)]
    for use_tta in (False, True):
        verdicts = Classifier.load(gated, use_tta=use_tta).judge(images)
        assert [verdict.prediction is None for verdict in verdicts] == [False, True, False]


def test_evaluation_hears_the_network_whatever_the_gate_says(gated: Path) -> None:
    assert len(Classifier.load(gated).classify([1 - radiograph(300)])) == 1


def test_the_gate_costs_no_second_pass(gated: Path) -> None:
    classifier, passes = Classifier.load(gated), []
    hook = classifier._network.backbone.register_forward_hook(lambda *_: passes.append(1))
    classifier.judge([radiograph(1), radiograph(2)])
    hook.remove()
    assert len(passes) == 1


def test_weights_without_a_gate_answer_everything(weights: Path) -> None:
    for verdict in Classifier.load(weights).judge(list(_wrong(radiograph(300)).values())):
        assert _codes(verdict) == ([], [])


def test_weights_and_record_agree_about_the_gate(
    network: Network, make_weights: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make_weights(tmp_path)
    bare = load_file(path)
    _rewrite(path, bare, {"axes": 1})
    with pytest.raises(ConfigurationError, match="disagree about a gate"):
        Classifier.load(path)
    _rewrite(path, bare | {f"{PREFIX}mean": torch.zeros(3), f"{PREFIX}colour": torch.zeros(3)}, {"axes": 1})
    with pytest.raises(ConfigurationError, match=r"another version \(.*colour"):
        Classifier.load(path)


def test_either_number_beyond_its_limit_is_enough() -> None:
    gate = Gate(
        mean=torch.zeros(2),
        scale=torch.ones(2),
        axes=torch.tensor([[1.0, 0.0]]),
        variances=torch.tensor([1.0]),
        remainder=torch.tensor(1.0),
        direction=torch.tensor([0.0, 2.0**0.5]),
        limits=torch.tensor([[1.0, 1.0], [2.0, 2.0]]),
    )
    # x = activations / sqrt(2): the discriminant is the second activation, the distance half their squared length.
    activations = torch.tensor([[0.5, 0.5], [0.5, 1.5], [0.5, 2.5], [3.0, 0.0], [5.0, 0.0], [99.0, 0.0]])
    discriminant, distance = gate.strangeness(activations).T
    torch.testing.assert_close(discriminant, activations[:, 1])
    torch.testing.assert_close(distance[:5].exp(), activations[:5].square().sum(1) / 2)
    assert distance[5].exp() == pytest.approx(18)  # standardised activations end at 6
    assert gate.familiarity(activations) == [
        Familiarity.KNOWN, Familiarity.UNUSUAL, Familiarity.UNKNOWN, Familiarity.UNUSUAL, Familiarity.UNKNOWN,
        Familiarity.UNKNOWN,
    ]  # fmt: skip


def test_a_borderline_picture_is_answered_with_a_warning(gated: Path) -> None:
    classifier, image = Classifier.load(gated), radiograph(300)
    assert classifier._gate is not None
    classifier._gate.limits[0] = -9.0
    assert _codes(classifier.judge([image])[0]) == ([], ["unusual_image"])


def test_the_limits_come_from_what_was_held_out(gated: Path) -> None:
    record = load_record(gated).novelty
    assert record is not None
    assert record["radiographs"] == 64
    assert record["held_out_accepted"]["plain"] >= 0.97
    assert set(record["wrong_pictures_refused"]) == set(WRONG_PICTURES)
    for warning, refusal in zip(record["limits"]["warning"], record["limits"]["refusal"], strict=True):
        assert warning <= refusal


def test_too_few_images_are_an_error(network: Network) -> None:
    with pytest.raises(ConfigurationError, match="20 training and 20 held-out radiographs, got 3 and 30"):
        fit(network, torch.zeros(3, 1, 224, 224, dtype=torch.uint8), torch.zeros(30, 1, 224, 224, dtype=torch.uint8))


@pytest.mark.parametrize("kind", WRONG_PICTURES)
def test_wrong_pictures_are_pictures_and_the_same_each_time(kind: str) -> None:
    images = _squares(range(6))
    first, again = (WRONG_PICTURES[kind](images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, images)


def test_foreign_pictures_are_grey_pictures() -> None:
    kinds = foreign_pictures()
    for needed in ("pydicom CT, as rendered", "pydicom MR, stored values", "pydicom US, stored values"):
        assert needed in kinds
    assert len(kinds["scikit-image photographs and textures"]) > 20
    for kind, pictures in kinds.items():
        for picture in pictures:
            assert picture.ndim == 2, kind
            assert picture.dtype == np.float32, kind
            assert 0 <= picture.min() < picture.max() <= 1, kind


def _bench(folder: Path, model: Path, *options: str) -> Any:
    from PIL import Image as Pillow

    for name in ("NORMAL", "PNEUMONIA"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Pillow.fromarray((radiograph(len(name)) * 255).astype(np.uint8)).save(folder / name / "1.png")
    return CliRunner().invoke(app, ["bench", "gate", "--data", str(folder), "--model", str(model), *options])


def test_the_benchmark_counts_by_kind(gated: Path, tmp_path: Path) -> None:
    done = _bench(tmp_path / "data", gated, "--json")
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    acceptance = {row["kind"]: row for row in measured["acceptance"]}
    refusal = {row["kind"]: row for row in measured["refusal"]}
    assert acceptance["radiographs"] == {"kind": "radiographs", "n": 2, "accepted": 2, "warned": 0}
    assert {"mirrored", "stress copy, dark", "stress copy, borderless"} <= set(acceptance)
    assert {"radiographs, turned by 90", "pydicom CT, as rendered", "scikit-image faces"} <= set(refusal)
    assert refusal["radiographs, noise"]["refused"] == 2


def test_the_benchmark_needs_a_gate(weights: Path, tmp_path: Path) -> None:
    done = _bench(tmp_path / "data", weights)
    assert isinstance(done.exception, ConfigurationError)
    assert "have no gate" in str(done.exception)


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


def test_the_shipped_gate_knows_films_and_no_turned_or_inverted_ones(shipped: Classifier) -> None:
    paths = sorted((require_images() / "chest_xray_fullsize").glob("*/*.jpeg"))[::8]
    films = [shipped.record.preprocessing.square(read_image(path)) for path in paths]
    assert all(verdict.prediction for verdict in shipped.judge(films))
    for film in films:
        wrong = [np.rot90(film, turns).copy() for turns in (1, 2, 3)] + list(_wrong(film).values())
        assert not any(verdict.prediction for verdict in shipped.judge(wrong))


def test_the_shipped_gate_knows_the_demo_and_no_foreign_pictures(shipped: Classifier) -> None:
    demo = [draw(sample.seed, sample.pneumonia, rows=sample.rows, columns=sample.columns) for sample in SAMPLES]
    assert all(verdict.prediction for verdict in shipped.judge([film.astype(np.float32) / 255 for film in demo]))
    foreign = [picture for pictures in foreign_pictures().values() for picture in pictures[:3]]
    verdicts = [shipped.judge([picture])[0] for picture in foreign]
    assert np.mean([verdict.prediction is None for verdict in verdicts]) >= 0.95
