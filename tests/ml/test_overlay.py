from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.records import Heatmap, Outcome
from ml.banner import AMBER, BACKGROUND, MUTED
from ml.overlay import LOWEST, MARGIN, PAGE, Caption, render
from ml.words import BODY, HEADLINE, LARGE, SMALL, typeface, wrapped
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
HALF = (PAGE[0] - 3 * MARGIN) // 2
# Rows above the radiographs: intended use of one line, titles.
TOP = 64


def _panels(page: np.ndarray, shape: tuple[int, int], top: int = TOP) -> tuple[np.ndarray, np.ndarray]:
    """Original and overlay of a source of this shape, wherever the page's height left them room for."""
    foot = next(row for row in range(top, page.shape[0]) if (page[row, 0] != 0).any())  # the banner's accent
    height = foot - MARGIN - top
    width = HALF if page.shape[0] < PAGE[1] else round(height * shape[1] / shape[0])
    left = MARGIN + (HALF - width) // 2
    right = left + HALF + MARGIN
    return page[top : top + height, left : left + width], page[top : top + height, right : right + width]


def _colour(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey."""
    return pixels.max(axis=2).astype(int) - pixels.min(axis=2)


@pytest.mark.parametrize(
    "shape", [(512, 512), (2500, 2000), (2000, 2500), (700, 1500), (4000, 3200), (224, 224), (3000, 700)]
)
def test_a_page_fits_a_megapixel_and_shows_the_whole_film_twice(shape: tuple[int, int]) -> None:
    image = radiograph(3, *shape)
    page = render(image, None, POSITIVE)
    assert page.dtype == np.uint8
    assert page.shape[1] == PAGE[0]
    assert page.shape[0] <= PAGE[1]
    original, overlay = _panels(page, shape)
    height, width = original.shape[:2]
    assert abs(width / height - shape[1] / shape[0]) < 0.01
    # Same field of view, same way round, nothing written over it: both are the source, resampled.
    expected = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    expected = np.rint(255 * np.clip(np.asarray(expected), 0, 1))
    np.testing.assert_array_equal(original, np.repeat(expected[..., None], 3, axis=2))
    np.testing.assert_array_equal(overlay, original)


def test_colour_and_outline_stand_on_the_overlay_alone() -> None:
    image = np.full((700, 700), 0.5, np.float32)
    original, overlay = _panels(render(image, SPOT, POSITIVE), image.shape)
    assert _colour(original).max() == 0
    share = len(overlay) / 700
    inside = overlay[round(350 * share) : round(450 * share), round(150 * share) : round(250 * share)]
    assert _colour(inside).min() > 40
    assert _colour(overlay[: round(200 * share)]).max() < 3
    assert _colour(overlay[:, round(550 * share) :]).max() < 3
    # The outline runs all the way round the place: from its middle, every direction crosses something near white.
    row, column = round(400 * share), round(200 * share)
    for ray in (overlay[row, column:], overlay[row, :column], overlay[row:, column], overlay[:row, column]):
        assert ray.min(axis=1).max() > 170


def test_lung_detail_shows_through_the_hottest_place() -> None:
    stripes = np.tile(np.repeat(np.float32([0.3, 0.7]), 10), 35)
    image = np.broadcast_to(stripes, (700, 700)).copy()
    original, overlay = _panels(render(image, SPOT, POSITIVE), image.shape)
    row, columns = round(400 / 700 * len(overlay)), slice(140, 215)
    assert (np.ptp(overlay[row, columns], axis=0) > 0.6 * np.ptp(original[row, columns], axis=0)).all()


def test_a_negative_image_stays_grey_and_has_no_outline() -> None:
    image = np.full((700, 700), 0.5, np.float32)
    nothing = Heatmap(np.zeros((7, 7), np.float32), "Grad-CAM")
    for heatmap, caption in ((SPOT, NEGATIVE), (nothing, POSITIVE)):
        original, overlay = _panels(render(image, heatmap, caption), image.shape)
        np.testing.assert_array_equal(original, overlay)
    _, fading = _panels(render(image, SPOT, replace(NEGATIVE, probability=0.4)), image.shape)
    assert 20 < _colour(fading).max() < 60
    assert fading.max() < 170


def test_side_letters_stand_beside_the_film_not_on_it() -> None:
    image = np.zeros((600, 600), np.float32)
    plain, lettered, mirrored = (render(image, SPOT, replace(POSITIVE, left_side=side)) for side in ("", "R", "L"))
    changed = np.argwhere((plain != lettered).any(axis=2))
    assert changed[:, 0].min() > 30
    assert changed[:, 0].max() < TOP
    assert {column // 160 for column in changed[:, 1]} == {0, 3, 4, 7}  # at both edges of both films
    assert (lettered != mirrored).any()


def test_words_are_legible_and_long_ones_wrap_without_loss() -> None:
    assert min(SMALL, BODY, LARGE, HEADLINE) >= 14
    text = f"{'Of a sentence of many words ' * 20} {'Unbroken' * 40}"
    lines = wrapped(text, typeface(BODY), 600)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(typeface(BODY).getlength(line) for line in lines) <= 600
    # Letters beyond ASCII have glyphs of their own.
    assert len({bytes(typeface(BODY).getmask(letter)) for letter in "üéłЖΩ"}) == 5


def test_many_long_warnings_shrink_the_films_and_are_all_there() -> None:
    image = radiograph(4, 1000, 800)
    warnings = ("A sentence that says at length what a reader has to be told. " * 6,) * 4
    short, long = render(image, SPOT, POSITIVE), render(image, SPOT, replace(POSITIVE, warnings=warnings))
    assert long.shape[0] <= PAGE[1]
    assert LOWEST <= len(_panels(long, image.shape)[0]) < len(_panels(short, image.shape)[0])
    longer = render(image, SPOT, replace(POSITIVE, warnings=warnings * 3))
    assert longer.shape[0] > PAGE[1]
    for page in (short, long, longer):
        # A margin of background closes the page at the foot and at the right of the words.
        assert (page[-8:] == BACKGROUND).all()
        lines = (page[-600:, : PAGE[0] - MARGIN] == AMBER).all(axis=2)
        assert lines.any()
        assert not (page[-100:, PAGE[0] - MARGIN + 1 :] == AMBER).all(axis=2).any()


def test_the_way_to_feedback_is_one_more_line_and_leaves_the_films_alone() -> None:
    image = radiograph(5, 600, 600)
    plain = render(image, SPOT, POSITIVE)
    address = (
        "https://pneumo.radiology.example-hospital.org/r/1.2.826.0.1.3680043.8.498.11223344556677889900112233445566"
    )
    linked = render(image, SPOT, replace(POSITIVE, feedback_url=address))
    end = plain.shape[0] - 10  # the banner's last rows are empty
    np.testing.assert_array_equal(linked[:end], plain[:end])
    assert linked.shape[0] == plain.shape[0] + round(SMALL * 1.4)
    line = linked[end:-10, : PAGE[0] - MARGIN]
    assert (line == MUTED).all(axis=2).sum() > 200
    assert not (line != BACKGROUND).any(axis=2)[:, PAGE[0] - 2 * MARGIN :].any(), "it fits the width"
    crowded = render(image, SPOT, replace(POSITIVE, warnings=("Of many words. " * 40,) * 3, feedback_url=address))
    assert crowded.shape[0] <= PAGE[1]


def test_different_answers_are_different_pictures() -> None:
    image = radiograph(5, 600, 600)
    captions = (
        POSITIVE, replace(POSITIVE, probability=0.94), replace(POSITIVE, threshold=0.6), replace(POSITIVE, version="2"),
        replace(POSITIVE, label="nodule"), replace(POSITIVE, intended_use="OTHER USE"), NEGATIVE,
    )  # fmt: skip
    pages = [render(image, SPOT, caption) for caption in captions]
    assert all((a.shape != b.shape) or (a != b).any() for i, a in enumerate(pages) for b in pages[:i])


def test_the_source_image_is_left_alone() -> None:
    image = radiograph(6)
    before = image.copy()
    render(image, SPOT, POSITIVE)
    np.testing.assert_array_equal(image, before)
