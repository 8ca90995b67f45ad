from __future__ import annotations

from math import log

import numpy as np
import pytest

from audit.score_bins import BINS, SCORE_EDGES, quantile
from audit.stability import DRIFT, Share, population_stability


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for count, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert Share(count, n).interval == pytest.approx((low, high), abs=1e-4)


def test_intervals_that_overlap_are_no_difference() -> None:
    assert Share(10, 100).differs_from(Share(40, 100))
    assert not Share(10, 100).differs_from(Share(14, 100))


def test_psi_by_hand() -> None:
    # Ten bins of the reference are its deciles; the window has half of its images in the first.
    found = population_stability([100] * 10, [500, *[50] * 8, 100])
    assert found is not None
    p = 100.5 / 1005
    after = [500.5, *[50.5] * 8, 100.5]
    expected = sum((count / 1005 - p) * log(count / 1005 / p) for count in after)
    assert found.bins == 10
    assert found.psi == pytest.approx(expected)
    assert found.by_chance == pytest.approx(21.67 * (1 / 1000 + 1 / 1000), rel=0.01)  # chi-square, 9 degrees, 0.99
    assert found.is_drift


def test_a_reference_that_is_all_alike_has_no_index() -> None:
    assert population_stability([0, 100, 0], [50, 0, 50]) is None


def test_small_samples_of_one_population_raise_no_alarm() -> None:
    generator = np.random.default_rng(0)
    found = [
        population_stability(*(generator.multinomial(n, [0.05] * 20).tolist() for n in (100, 50))) for _ in range(200)
    ]
    above = [stability for stability in found if stability and stability.psi > DRIFT]
    assert len(above) > 40  # what the limit alone would have called drift
    assert sum(stability.is_drift for stability in above) <= 6


def test_quantiles_are_right_to_the_width_of_a_bin() -> None:
    values = np.sort(np.random.default_rng(1).beta(2, 0.2, 999))
    counts = np.histogram(values, SCORE_EDGES)[0].tolist()
    assert (len(counts), sum(counts)) == (BINS, 999)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        true = values[int(share * 999)]
        width = 0.01 if 0.1 < true < 0.9 else 0.005 if 0.01 < true < 0.99 else 0.0005
        assert quantile(counts, share) == pytest.approx(true, abs=width)
