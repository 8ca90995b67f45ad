from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cli.phantom import SAMPLES, Sample, draw
from cli.phantom_film import Exposure, Film, expose
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS

FILM = Film(rows=200, columns=200, width=200.0, top=-100.0, shift=0.0, tilt=0.0)
EXPOSURE = Exposure(scatter=0.3, quanta=12000, depth=1.6, contrast=1.5, enhancement=0.0)


def _film(sample: Sample) -> np.ndarray:
    return draw(sample.seed, sample.pneumonia, rows=sample.rows, columns=sample.columns)


@pytest.mark.parametrize("pneumonia", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(350, 300), (201, 333), (64, 64)])
def test_a_film_of_the_asked_size_with_the_whole_range_of_grey(rows: int, columns: int, pneumonia: bool) -> None:
    film = draw(5, pneumonia, rows=rows, columns=columns)
    assert film.shape == (rows, columns)
    assert film.dtype == np.uint8
    assert film.min() == 0
    assert film.max() > 200


def test_one_seed_is_one_film() -> None:
    assert np.array_equal(draw(7, True, rows=210, columns=280), draw(7, True, rows=210, columns=280))
    assert not np.array_equal(draw(7, True, rows=210, columns=280), draw(8, True, rows=210, columns=280))


def test_pneumonia_whitens_the_lungs_of_the_same_child() -> None:
    healthy, ill = (draw(8, pneumonia, rows=420, columns=600).astype(float) for pneumonia in (False, True))
    whiter = ill - healthy > 15
    assert 0.05 < whiter.mean() < 0.4
    darker = healthy - ill > 15
    assert darker.mean() < 0.01
    border = np.ones_like(whiter)
    border[40:-40, 60:-60] = False
    assert whiter[border].mean() < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_high_is_white_and_the_childs_left_is_on_the_right(seed: int) -> None:
    film = draw(seed, False, rows=420, columns=520).astype(float)
    right_lung, left_lung = film[150:300, 60:200], film[150:300, 320:460]
    middle = film[150:300, 235:285]
    assert middle.mean() > 1.3 * right_lung.mean()
    assert left_lung.mean() > right_lung.mean()  # the heart reaches further into the left half


def test_too_small_a_film_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64 rows and 64 columns, got 63 x 500"):
        draw(1, False, rows=63, columns=500)


def test_a_shadow_holds_the_volume_that_casts_it() -> None:
    points = np.array([(0.0, 0.0, 5.0), (10.3, -20.7, 0.0), (5000.0, 0.0, 0.0)])
    shadow = FILM.cast(points, np.array([3.0, 4.0, 100.0]))  # the third lies outside
    assert shadow.sum() * FILM.cell**2 == pytest.approx(7.0, rel=1e-4)
    row, column = np.unravel_index(shadow.argmax(), shadow.shape)
    x, y = FILM.grid()
    assert (x[row, column], y[row, column]) == pytest.approx((10.3, -20.7), abs=FILM.cell)


def test_more_water_is_whiter_and_fewer_quanta_are_noisier() -> None:
    steps = np.repeat(np.linspace(0, 200, 5, dtype=np.float32), 20)[None].repeat(100, axis=0)
    grey = expose(steps, FILM, EXPOSURE, np.random.default_rng(0))
    means = [grey[:, 20 + 40 * step - 5 : 20 + 40 * step + 5].mean() for step in range(5)]
    assert means == sorted(means)
    noisy = expose(steps, FILM, replace(EXPOSURE, quanta=1000), np.random.default_rng(0))
    assert np.diff(noisy, axis=0).std() > 2 * np.diff(grey, axis=0).std()


def test_the_samples_are_invented_children_of_the_models_age() -> None:
    assert len({sample.patient_id for sample in SAMPLES}) == len(SAMPLES)
    assert len({sample.patient_name for sample in SAMPLES}) == len(SAMPLES)
    assert sorted(sample.pneumonia for sample in SAMPLES) == [False] * 3 + [True] * 3
    for sample in SAMPLES:
        assert sample.patient_id.startswith("DEMO-")
        assert sample.patient_name.startswith("Demo^")
        assert 1 <= int(sample.patient_age.removesuffix("Y")) <= 5


def test_the_shipped_model_finds_both_outcomes_among_the_samples() -> None:
    """The demo's promise, not a measure of the model: the seeds were chosen for it."""
    classifier = Classifier.load(DEFAULT_WEIGHTS)
    films = [_film(sample).astype(np.float32) / 255 for sample in SAMPLES]
    found = [prediction.outcome == "positive" for prediction, _ in classifier.classify(films)]
    assert found == [sample.pneumonia for sample in SAMPLES]
