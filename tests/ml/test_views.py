from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tf

from dicom.identity import device_uid
from ml.classifier import Classifier
from ml.networks import Network
from ml.preprocessing import Preprocessing
from ml.views import VIEWS, disagree, views_of
from tests.ml.conftest import radiograph


def _squares(*seeds: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([Preprocessing().square(radiograph(seed)) for seed in seeds]))[:, None]


def test_the_images_themselves_come_first_and_each_view_after_them() -> None:
    grey = _squares(1, 2)
    views = dict(zip(VIEWS, views_of(grey)[2:].split(2), strict=True))
    assert torch.equal(views_of(grey)[:2], grey)
    torch.testing.assert_close(views["mirrored"], grey.flip(3), atol=1e-4, rtol=0)
    closer = tf.resize(tf.center_crop(grey, [211, 211]), [224, 224])  # 0.94 of 224
    assert (views["closer"] - closer).abs().mean() < 0.01
    # Half of 0.05 of 224 pixels: 5.6 columns from the left and 5.6 rows from below.
    torch.testing.assert_close(views["shifted"].mean(), grey.roll((6, -6), (2, 3)).mean(), atol=0.01, rtol=0)
    assert (views["shifted"] - grey.roll((6, -6), (2, 3))).abs()[..., 10:-10, 10:-10].mean() < 0.03


def test_the_answer_is_the_mean_of_the_views_and_the_map_that_of_the_image(weights: Path, network: Network) -> None:
    images = [radiograph(21), radiograph(22)]
    plain = Classifier.load(weights).classify(images)
    steadied = Classifier.load(weights, use_tta=True).classify(images)
    with torch.inference_mode():
        mean = network(views_of(_squares(21, 22))).view(-1, 2).mean(0)
    for index, (prediction, heatmap) in enumerate(steadied):
        assert prediction.probability == pytest.approx(float(torch.sigmoid(mean[index] / 1.5)), abs=1e-5)
        assert prediction.probability != plain[index][0].probability
        np.testing.assert_allclose(heatmap.values, plain[index][1].values, atol=1e-5)


def test_averaging_is_another_device(weights: Path) -> None:
    plain, steadied = (Classifier.load(weights, use_tta=use_tta).identity for use_tta in (False, True))
    assert device_uid(plain) != device_uid(steadied)
    assert set(json.loads(steadied.preprocessing)["views"]) == set(VIEWS)


def test_views_disagree_about_the_outcome_or_by_their_spread() -> None:
    probabilities = torch.tensor(
        [
            [0.1, 0.49, 0.55, 0.0],
            [0.1, 0.49, 0.95, 0.0],
            [0.2, 0.52, 0.95, 0.1],
            [0.1, 0.49, 0.55, 0.0],
        ]
    )
    assert disagree(probabilities, threshold=0.5).tolist() == [False, True, True, False]
    assert disagree(probabilities[:1], threshold=0.5).tolist() == [False] * 4


def test_disagreement_is_a_warning_in_words(weights: Path) -> None:
    """A threshold between the views of an image: the outcome hangs on how it is looked at."""
    classifier = Classifier.load(weights, use_tta=True)
    [(steadied, _)] = classifier.classify([radiograph(21)])
    [(plain, _)] = Classifier.load(weights).classify([radiograph(21)])
    between = (plain.probability + steadied.probability) / 2
    for threshold, codes in ((between, ["views_disagree"]), (0.999, [])):
        classifier.record = classifier.record.model_copy(update={"threshold": threshold})
        [verdict] = classifier.judge([radiograph(21)])
        assert [finding.code for finding in verdict.warnings] == codes
        assert all(finding.detail for finding in verdict.warnings)
