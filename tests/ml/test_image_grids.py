from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.image_grids import certain_cases, heatmap_grid, prediction_grid
from ml.plots import GREEN, ORANGE
from ml.scoring import Scores
from tests.ml.conftest import radiograph
from tests.ml.scores import make_scores


@pytest.fixture
def scores() -> Scores:
    found = make_scores([1, 1, 1, 0, 0, 1, 1], [0.9, 0.99, 0.2, 0.1, 0.05, 0.8, 0.7])
    samples = tuple(
        replace(sample, read=lambda seed=seed: radiograph(seed, 60 + 20 * seed, 100))
        for seed, sample in enumerate(found.samples)
    )
    heatmaps = np.zeros((7, 7, 7), np.float32)
    heatmaps[1, 3, 3] = 2.0
    return replace(found, samples=samples, heatmaps=heatmaps)


def test_the_most_certain_come_first_and_kinds_without_a_case_are_left_out(scores: Scores) -> None:
    assert certain_cases(scores, 0.5) == {
        "pneumonia found": [1, 0, 5],
        "pneumonia missed": [2],
        "normal cleared": [4, 3],
    }


def test_frames_say_right_and_wrong_and_empty_places_stay_white(scores: Scores) -> None:
    figure = prediction_grid(scores, 0.5)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 7
    assert len(figure.axes) == 12
    for axes in shown:
        wrong = axes.get_title() == "WRONG: pneumonia, 20.0 %"
        spine = axes.spines["left"]
        assert spine.get_edgecolor()[:3] == pytest.approx(_rgb(ORANGE if wrong else GREEN))
        assert (spine.get_linestyle() == "--") == wrong
    assert sum(axes.get_title().startswith("WRONG") for axes in shown) == 1


def test_colour_lies_where_the_map_is_and_nowhere_without_one(scores: Scores) -> None:
    figure = heatmap_grid(scores, 0.5)
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.get_title() == "Grad-CAM"]
    assert len(maps) == 6
    colour = [float(np.ptp(picture, axis=2).max()) for picture in maps]
    assert colour[0] > 0.2  # the first is image 1, the only one with a map
    assert max(colour[1:]) == 0


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
