"""Curves, reliability, classes, kinds of pneumonia, subgroups and the course of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from core.errors import ConfigurationError
from ml.class_figures import class_figures, kinds
from ml.curves import GRID, before_calibration, curves, reliability
from ml.figures import Judged
from ml.learning_curves import learning_curves
from ml.resampling import faultless_bound, patient_weights, wilson
from ml.subgroups import subgroups
from tests.ml.scores import make_scores

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat([0, 1], (80, 120))
# Rounded, so that many are equal.
PROBABILITIES = np.clip(np.round(0.3 + 0.4 * LABELS + GENERATOR.normal(0, 0.2, 200), 2), 0, 1)
PATIENTS = [f"patient-{number // 2}" for number in range(200)]


def test_weighted_figures_are_those_of_scikit_learn_on_the_drawn_images() -> None:
    judged = Judged(LABELS, PROBABILITIES, 0.5)
    for weights in patient_weights(LABELS, PATIENTS, 3):
        assert set(weights[::2] - weights[1::2]) == {0.0}  # both images of a patient, or neither
        rows = np.repeat(np.arange(200), weights.astype(int))
        labels, probabilities = LABELS[rows], PROBABILITIES[rows]
        called = probabilities >= 0.5
        figures = judged.figures(weights)
        assert figures.pop("ece") == pytest.approx(judged_ece(labels, probabilities))
        assert figures == pytest.approx(
            {
                "auc": sk.roc_auc_score(labels, probabilities),
                "pr_auc": sk.average_precision_score(labels, probabilities),
                "accuracy": sk.accuracy_score(labels, called),
                "sensitivity": sk.recall_score(labels, called),
                "specificity": sk.recall_score(labels, called, pos_label=0),
                "precision": sk.precision_score(labels, called),
                "f1": sk.f1_score(labels, called),
                "brier": sk.brier_score_loss(labels, probabilities),
            }
        )


def judged_ece(labels: np.ndarray, probabilities: np.ndarray) -> float:
    bins = np.minimum((probabilities * 15).astype(int), 14)
    return sum(
        abs(probabilities[bins == i].mean() - labels[bins == i].mean()) * (bins == i).mean() for i in np.unique(bins)
    )


def test_the_band_lies_around_the_curve() -> None:
    roc, precision_recall = curves(LABELS, PROBABILITIES, PATIENTS)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(sk.roc_auc_score(LABELS, PROBABILITIES))
    sensitivity = np.interp(GRID, roc.x, roc.y)
    assert np.all((np.array(roc.low) <= sensitivity) & (sensitivity <= np.array(roc.high)))
    assert np.mean(np.array(roc.high) - np.array(roc.low)) > 0.02
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert list(precision_recall.x) == sorted(precision_recall.x)
    assert precision_recall.y[-1] == pytest.approx(0.6)  # all called positive
    all_found = precision_recall.y[precision_recall.x.index(1.0)]
    assert precision_recall.low[-1] <= all_found <= precision_recall.high[-1]


def test_reliability_counts_every_image_once() -> None:
    found = reliability(np.array([0, 1, 1, 1]), np.array([0.01, 0.03, 0.5, 1.0]))
    assert [(part.n, part.predicted, part.observed) for part in found.bins] == [
        (2, pytest.approx(0.02), 0.5),
        (1, 0.5, 1.0),
        (1, 1.0, 1.0),
    ]


def test_intervals_of_shares() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I, method 3
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 1)[1] == 1.0
    assert 1 - faultless_bound(100) == pytest.approx(3 / 100, rel=0.02)  # the rule of three


def test_calibration_is_undone() -> None:
    raw = np.array([-6.0, -1.0, 0.0, 2.5, 8.0])
    calibrated = 1 / (1 + np.exp(-(raw + 1.25) / 0.6))
    before = before_calibration(calibrated, {"temperature": 0.6, "offset": 1.25})
    assert before == pytest.approx(1 / (1 + np.exp(-raw)), abs=1e-6)
    assert np.isfinite(before_calibration(np.array([0.0, 1.0]), {"temperature": 0.6, "offset": 1.25})).all()


def test_classes_and_their_weighted_mean() -> None:
    normal, pneumonia, mean = class_figures(np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 1, 1, 1, 0]), ("no", "yes"))
    assert (normal.precision, normal.recall, normal.support) == (0.5, 0.5, 2)
    assert (pneumonia.precision, pneumonia.recall, pneumonia.support) == (0.75, 0.75, 4)
    assert mean.precision == pytest.approx((0.5 * 2 + 0.75 * 4) / 6)
    assert mean.support == 6


def test_kinds_are_held_against_what_the_data_names() -> None:
    scores = make_scores(
        [0, 1, 1, 1, 1],
        [0.1, 0.9, 0.8, 0.9, 0.4],
        ["", "bacteria", "bacteria", "virus", ""],
        classes=("normal", "bacterial", "viral"),
        shares=[(0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.2, 0.3, 0.5), (0.1, 0.2, 0.7), (0.6, 0.2, 0.2)],
    )
    found = kinds(scores)
    assert found is not None
    assert found.n == 4  # of one pneumonia the data names no kind
    assert found.confusion == ((1, 0, 0), (0, 1, 1), (0, 0, 1))
    assert [row.name for row in found.figures] == ["normal", "bacterial", "viral", "weighted mean"]
    assert found.figures[1].recall == 0.5
    assert kinds(make_scores([0, 1], [0.1, 0.9], ["", "virus"])) is None


def test_kinds_of_pneumonia_are_held_against_all_normal_images() -> None:
    scores = make_scores([0, 0, 1, 1, 1], [0.1, 0.6, 0.9, 0.4, 0.7], ["", "", "bacteria", "bacteria", "virus"])
    bacteria, virus, whole = subgroups(scores, 0.5)
    assert (bacteria.name, bacteria.normal, bacteria.pneumonia, bacteria.sensitivity) == ("bacteria", 2, 2, 0.5)
    assert (virus.sensitivity, virus.auc, virus.specificity) == (1.0, 1.0, 0.5)
    assert bacteria.auc == 0.75
    assert (whole.name, whole.normal, whole.pneumonia) == ("all 0.05 megapixels", 2, 3)  # images of one size


def test_thirds_by_size_and_a_third_without_one_class() -> None:
    scores = make_scores([1, 1, 0, 1, 0, 1], [0.9, 0.2, 0.1, 0.8, 0.6, 0.7], pixels=[10**6 * n for n in range(1, 7)])
    small, middle, large = subgroups(scores, 0.5)
    assert (small.normal, small.sensitivity, small.specificity, small.auc, small.ci) == (0, 0.5, None, None, {})
    assert middle.name == "3.00 to 4.00 megapixels"
    assert (middle.auc, large.specificity) == (1.0, 0.0)
    assert set(large.ci) == {"sensitivity", "specificity", "auc"}


def test_the_course_of_a_run_leaves_out_what_the_table_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,train_loss_epoch,val_loss,val_auc,lr_backbone\n1,0.9,0.8,,1e-3\n2,0.7,0.6,0.9,1e-4\n"
    )
    loss, auc, rate = learning_curves(tmp_path)
    assert [(line.name, line.values) for line in loss.lines] == [("training", (0.9, 0.7)), ("validation", (0.8, 0.6))]
    assert (auc.lines[0].epochs, auc.lines[0].values) == ((2,), (0.9,))
    assert (rate.title, rate.lines[0].name) == ("learning rate", "backbone")


def test_the_course_of_averaged_networks_is_their_mean(tmp_path: Path) -> None:
    for number, value in enumerate((0.5, 0.7), start=1):
        member = tmp_path / f"member-{number}"
        member.mkdir()
        (member / "metrics.csv").write_text(f"epoch,val_loss\n1,{value}\n")
    (loss,) = learning_curves(tmp_path)
    assert loss.lines[0].values == pytest.approx((0.6,))


@pytest.mark.parametrize("table", [None, "step,loss\n1,2\n", "epoch,loss\n1,low\n"])
def test_a_folder_without_a_table_is_a_clear_error(tmp_path: Path, table: str | None) -> None:
    if table is not None:
        (tmp_path / "metrics.csv").write_text(table)
    with pytest.raises(ConfigurationError, match=r"training run"):
        learning_curves(tmp_path)
