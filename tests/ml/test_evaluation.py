from __future__ import annotations

import json

import numpy as np
import pytest

from core.errors import ConfigurationError
from ml.calibration import calibrated, choose_threshold, fit_temperature_and_offset
from ml.evaluation import evaluate, expected_calibration_error

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9, 0.95, 0.5])
PATIENTS = list("abcdefghij")


def test_figures_by_hand() -> None:
    result = evaluate(LABELS, PROBABILITIES, 0.5, PATIENTS, resamples=50)
    assert result.confusion == ((3, 1), (1, 5))
    assert result.n == 10
    assert result.accuracy == pytest.approx(0.8)
    assert result.sensitivity == pytest.approx(5 / 6)
    assert result.specificity == pytest.approx(3 / 4)
    assert result.precision == pytest.approx(5 / 6)
    assert result.f1 == pytest.approx(5 / 6)
    assert result.brier == pytest.approx(((PROBABILITIES - LABELS) ** 2).mean())
    assert result.auc == pytest.approx(21 / 24)  # of 24 pairs, 0.7 stands above 0.4, 0.6 and 0.5


def test_the_json_has_the_promised_fields() -> None:
    fields = json.loads(json.dumps(evaluate(LABELS, PROBABILITIES, 0.5, PATIENTS, resamples=20).as_json()))
    figures = {"auc", "pr_auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "ece", "brier"}
    assert set(fields) == figures | {"n", "threshold", "confusion", "ci"}
    assert set(fields["ci"]) == figures
    assert fields["confusion"] == [[3, 1], [1, 5]]
    for name, (low, high) in fields["ci"].items():
        assert low <= fields[name] <= high or name == "ece"  # its bootstrap is biased upwards


def test_one_class_alone_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="no NORMAL image"):
        evaluate(np.ones(3, np.int64), np.array([0.1, 0.2, 0.3]), 0.5, list("abc"))


def test_intervals_are_seeded_and_draw_whole_patients() -> None:
    first = evaluate(LABELS, PROBABILITIES, 0.5, PATIENTS, resamples=50)
    assert first == evaluate(LABELS, PROBABILITIES, 0.5, PATIENTS, resamples=50)
    one_patient_a_class = ["a"] * 4 + ["b"] * 6
    low, high = evaluate(LABELS, PROBABILITIES, 0.5, one_patient_a_class, resamples=50).ci["accuracy"]
    assert low == high == pytest.approx(0.8)


def test_ece_by_hand() -> None:
    labels, probabilities = np.array([1, 0, 1, 1]), np.array([0.91, 0.91, 0.01, 1.0])
    # Bins of 1/15: {0.91, 0.91} observe 0.5, {0.01} observes 1, {1.0} observes 1.
    assert expected_calibration_error(labels, probabilities) == pytest.approx((2 * 0.41 + 0.99 + 0) / 4)


def test_platt_scaling_finds_what_was_done_to_the_logits() -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < 1 / (1 + np.exp(-honest))).astype(np.int64)
    temperature, offset = fit_temperature_and_offset(3.0 * honest - 4.0, labels)
    assert temperature == pytest.approx(3.0, rel=0.05)
    assert offset == pytest.approx(4.0, abs=0.2)
    assert expected_calibration_error(labels, calibrated(3.0 * honest - 4.0 + offset, temperature)) < 0.02


def test_a_network_worse_than_chance_is_not_calibrated() -> None:
    worse = np.array([2.0, 1.0, -1.0, -2.0])
    assert fit_temperature_and_offset(worse, np.array([0, 0, 1, 1])) == (1.0, 0.0)


def test_the_threshold_is_the_highest_that_keeps_the_sensitivity() -> None:
    labels = np.repeat([0, 1], 100)
    probabilities = np.concatenate([np.linspace(0.0, 0.3, 100), np.linspace(0.2, 0.9, 100)])
    threshold = choose_threshold(probabilities, labels, sensitivity=0.96)
    assert (probabilities[labels == 1] >= threshold).mean() == pytest.approx(0.96)
    assert (probabilities[labels == 1] > threshold).mean() < 0.96
