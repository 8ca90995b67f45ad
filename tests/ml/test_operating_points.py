from __future__ import annotations

import numpy as np
import pytest

from ml.operating_points import operating_points

LABELS = np.repeat([0, 1], 100)
PROBABILITIES = np.concatenate([np.linspace(0.0, 0.6, 100), np.linspace(0.4, 0.99, 100)])


def test_each_threshold_is_the_best_that_keeps_its_promise() -> None:
    points = {point.name: point for point in operating_points(LABELS, PROBABILITIES, 0.5)}
    for wanted in (0.95, 0.98):
        point = points[f"sensitivity at least {wanted:.2f}"]
        assert point.sensitivity == wanted
        assert (PROBABILITIES[100:] > point.threshold).mean() < wanted  # a higher one would break it
    point = points["specificity at least 0.90"]
    assert point.specificity == pytest.approx(0.90)
    youden = max(points.values(), key=lambda p: p.sensitivity + p.specificity)
    assert youden.name.startswith("Youden")
    assert [point.shipped for point in points.values()] == [True, False, False, False, False]


def test_a_point_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    probabilities = np.array([0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9, 0.95, 0.5])
    shipped = operating_points(labels, probabilities, 0.5)[0]
    assert (shipped.sensitivity, shipped.specificity, shipped.accuracy) == pytest.approx((5 / 6, 3 / 4, 0.8))
    assert (shipped.ppv, shipped.npv) == pytest.approx((5 / 6, 3 / 4))


def test_what_cannot_be_had_is_left_out() -> None:
    # Half of the normal images share the highest probability: no threshold clears nine in ten.
    points = operating_points(np.array([0, 0, 1, 1]), np.array([0.2, 0.9, 0.9, 0.5]), 0.95)
    assert points[0].ppv is None
    assert points[0].npv == 0.5
    assert "specificity at least 0.90" not in {point.name for point in points}
