from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.records import Heatmap, Outcome
from ml.overlay import NARROWEST, Caption, render
from tests.ml.conftest import radiograph

POSITIVE = Caption(
    outcome=Outcome.POSITIVE,
    probability=0.93,
    threshold=0.5,
    model="small",
    version="1",
    intended_use="RESEARCH USE ONLY",
    warnings=("Patient age is unknown.",),
)
NEGATIVE = replace(POSITIVE, outcome=Outcome.NEGATIVE, probability=0.01)
SPOT = Heatmap(np.pad(np.ones((2, 2), np.float32), ((3, 2), (1, 4))), "Grad-CAM")


def _colour(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey."""
    return pixels.max(axis=2).astype(int) - pixels.min(axis=2)


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((2048, 2500), (839, 1024)),
        ((2500, 1500), (1024, 614)),
        ((700, 600), (700, 600)),
        ((224, 224), (512, 512)),
        ((300, 100), (512, 171)),
    ],
)
def test_the_radiograph_has_reading_size_and_its_aspect(shape: tuple[int, int], picture: tuple[int, int]) -> None:
    image = radiograph(3, *shape)
    page = render(image, None, POSITIVE)
    height, width = picture
    assert page.dtype == np.uint8
    assert page.shape[1:] == (max(width, NARROWEST), 3)
    assert page.shape[0] > height
    # Nothing is written over the radiograph: its rows are grey, and as bright as the image.
    left = (page.shape[1] - width) // 2
    shown = page[:height, left : left + width]
    assert _colour(shown).max() == 0
    assert abs(shown.mean() / 255 - image.mean()) < 0.02


def test_colour_stands_where_the_map_is_hot() -> None:
    image = np.full((700, 700), 0.5, np.float32)
    shown = _colour(render(image, SPOT, POSITIVE)[:700])
    assert shown[350:450, 150:250].min() > 60
    assert shown[:200].max() < 3
    assert shown[:, 550:].max() < 3


def test_lung_detail_shows_through_the_hottest_place() -> None:
    stripes = np.tile(np.repeat(np.float32([0.3, 0.7]), 5), 70)
    image = np.broadcast_to(stripes, (700, 700)).copy()
    hot = render(image, SPOT, POSITIVE)[400, 150:250].astype(int)
    assert np.ptp(hot[:, 2]) > 20


def test_a_negative_image_stays_grey() -> None:
    image = np.full((700, 700), 0.5, np.float32)
    assert _colour(render(image, SPOT, NEGATIVE)[:700]).max() < 5
    nothing = Heatmap(np.zeros((7, 7), np.float32), "Grad-CAM")
    assert _colour(render(image, nothing, POSITIVE)[:700]).max() == 0


def test_the_banner_grows_with_its_words() -> None:
    image = radiograph(4, 600, 600)
    short = render(image, SPOT, POSITIVE)
    long = render(image, SPOT, replace(POSITIVE, warnings=("A sentence. " * 12,) * 6))
    assert long.shape[0] > short.shape[0] + 200
    # The last line is whole: a margin of background closes the banner.
    assert len(np.unique(long[-5:].reshape(-1, 3), axis=0)) == 1


def test_different_answers_are_different_pictures() -> None:
    image = radiograph(5, 600, 600)
    pages = [
        render(image, SPOT, caption)
        for caption in (POSITIVE, replace(POSITIVE, probability=0.94), replace(POSITIVE, version="2"), NEGATIVE)
    ]
    assert all((a.shape != b.shape) or (a != b).any() for i, a in enumerate(pages) for b in pages[:i])


def test_the_source_image_is_left_alone() -> None:
    image = radiograph(6)
    before = image.copy()
    render(image, SPOT, POSITIVE)
    np.testing.assert_array_equal(image, before)
