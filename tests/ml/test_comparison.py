from __future__ import annotations

import math

import numpy as np
import pytest

from core.records import ModelIdentity
from ml.comparison import compare, delong, delong_covariance, mcnemar
from ml.evaluation import evaluate
from tests.ml.scores import make_scores

# Albumin, total protein, K-G score and outcome of 43 patients: the example of DeLong et al. 1988 as the
# SAS/STAT User's Guide prints it ("Comparing Receiver Operating Characteristic Curves").
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def test_delong_on_a_published_example() -> None:
    albumin, protein, score, label = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    labels = label.astype(np.int64)
    aucs, covariance = delong_covariance(labels, [albumin, protein, -score])
    assert aucs == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    against_score = delong(labels, protein, -score)
    assert against_score.difference == pytest.approx(-0.0780, abs=5e-5)
    assert against_score.ci == pytest.approx((-0.2830, 0.1271), abs=1e-4)
    assert against_score.p == pytest.approx(0.4561, abs=1e-4)


def test_delong_equals_its_definition() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], (30, 20))
    # Rounded, so that there are ties within and between the classes.
    scores = [np.round(labels + generator.normal(0, 1.2, 50), 1) for _ in range(2)]
    wins = [
        (values[labels == 1][:, None] > values[labels == 0])
        + 0.5 * (values[labels == 1][:, None] == values[labels == 0])
        for values in scores
    ]
    aucs, covariance = delong_covariance(labels, scores)
    by_definition = np.zeros((2, 2))
    for axis, size in ((1, 20), (0, 30)):
        parts = [found.mean(axis=axis) - found.mean() for found in wins]
        by_definition += np.array([[a @ b for b in parts] for a in parts]) / (size - 1) / size
    assert aucs == pytest.approx([found.mean() for found in wins])
    assert covariance == pytest.approx(by_definition)


def test_models_that_rank_alike_do_not_differ() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.6, 0.4, 0.7, 0.9])
    found = delong(labels, scores, scores**2)
    assert (found.difference, found.p) == (0.0, 1.0)


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 8 + [False] * 2 + [True] * 5)
    second = np.array([False] * 8 + [True] * 2 + [True] * 5)
    found = mcnemar("all images", first, second)
    assert (found.only_this, found.only_other) == (8, 2)
    assert found.p == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar("all images", first, first).p == 1.0


def test_both_models_are_resampled_alike() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], 60)
    better = np.clip(0.25 + 0.5 * labels + generator.normal(0, 0.2, 120), 0, 1)
    worse = np.clip(better + generator.normal(0, 0.25, 120), 0, 1)
    mine, theirs = (make_scores(labels, values) for values in (better, worse))
    figures = [evaluate(labels, found.probabilities, 0.5, found.patients) for found in (mine, theirs)]
    identity = ModelIdentity("other", "2", "pneumo", "0" * 64, "{}", "pneumonia", 0.5, 1.0)
    comparison = compare(mine, figures[0], theirs, figures[1], identity)
    assert comparison.other == "other 2"
    assert comparison.differences["auc"] == pytest.approx(comparison.delong.difference)
    assert comparison.ci["auc"] == pytest.approx(comparison.delong.ci, abs=0.03)
    # Pairing takes out what both have in common.
    (low, high), (mine_low, mine_high) = comparison.ci["accuracy"], figures[0].ci["accuracy"]
    (theirs_low, theirs_high) = figures[1].ci["accuracy"]
    assert high - low < (mine_high - mine_low) + (theirs_high - theirs_low)
    only_mine, only_theirs = comparison.mcnemar[0].only_this, comparison.mcnemar[0].only_other
    assert (only_mine - only_theirs) / 120 == pytest.approx(comparison.differences["accuracy"])
    alike = compare(mine, figures[0], mine, figures[0], identity)
    assert set(alike.ci.values()) == {(0.0, 0.0)}
