"""The PNG files that pages and programs get."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core.records import Heatmap
from ml.heat import FAINTEST, palette
from ml.pictures import LONGEST_SIDE, PAGE_WIDTH, heatmap_png, original_png, page_png


def opened(png: bytes) -> Image.Image:
    picture = Image.open(BytesIO(png), formats=["PNG"])
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(3000, 2000, (512, 768)), (480, 600, (600, 480)), (1, 5000, (768, 1))]
)
def test_map_and_radiograph_have_one_size(rows: int, columns: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((rows, columns), dtype=np.float32)
    heatmap = Heatmap(np.ones((7, 7), np.float32), "test")
    original, heat = opened(original_png(image)), opened(heatmap_png(heatmap, rows, columns, 1.0))
    assert original.size == heat.size == size
    assert max(size) <= LONGEST_SIDE


def test_grey_values_are_those_the_model_saw() -> None:
    ramp = np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256)
    assert (np.abs(np.asarray(opened(original_png(ramp)), dtype=float) - 255 * ramp) <= 0.5 + 1e-3).all()


def test_a_map_can_be_read_back_and_shows_the_colours_of_the_page() -> None:
    values = np.zeros((8, 8), np.float32)
    values[2, 5] = 4.0
    picture = opened(heatmap_png(Heatmap(values, "test"), 800, 800, 0.8))
    level = np.asarray(picture) / 255
    row, column = np.unravel_index(level.argmax(), level.shape)
    assert (int(row) * 8 // 768, int(column) * 8 // 768) == (2, 5)
    assert level.max() == pytest.approx(0.8, abs=0.03)
    colours = np.asarray(picture.convert("RGB"))
    assert (colours[level < FAINTEST] == 0).all()
    assert (colours[level > FAINTEST + 0.01].max(axis=-1) > 0).all()
    assert (palette()[-1] == colours.reshape(-1, 3)).all(axis=1).sum() == 0, "the peak is lowered"


def test_an_empty_map_is_black() -> None:
    picture = opened(heatmap_png(Heatmap(np.zeros((7, 7), np.float32), "test"), 100, 80, 1.0))
    assert picture.convert("RGB").getextrema() == ((0, 0),) * 3


def test_a_page_is_made_narrower_and_stays_whole() -> None:
    page = np.zeros((1024, 1280, 3), np.uint8)
    page[:, 640:] = (255, 142, 74)
    picture = opened(page_png(page))
    assert picture.size == (PAGE_WIDTH, 819)
    assert (picture.getpixel((10, 10)), picture.getpixel((1010, 800))) == ((0, 0, 0), (255, 142, 74))
