from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.records import Heatmap
from ml.regions import MOST_POINTS, region_of

# Portrait, landscape, odd sides, small, and 16 megapixels.
SHAPES = [(2500, 2000), (1000, 3000), (333, 517), (60, 40), (4000, 4000)]


def bump(centre: tuple[float, float], radius: float, cells: int = 32) -> np.ndarray:
    """(cells, cells): 1 at the centre (row, column as shares of the sides), one half at the radius."""
    places = (np.arange(cells) + 0.5) / cells
    squares = (places[:, None] - centre[0]) ** 2 + (places[None] - centre[1]) ** 2
    return np.exp2(-squares / radius**2).astype(np.float32)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_the_outline_lies_at_half_of_the_peak_in_source_pixels(rows: int, columns: int) -> None:
    region = region_of(Heatmap(7 * bump((0.4, 0.7), 0.15), "Grad-CAM"), rows, columns)
    assert region is not None
    assert 12 <= len(region.points) <= MOST_POINTS
    points = np.array(region.points) / (columns, rows)
    distances = np.hypot(points[:, 0] - 0.7, points[:, 1] - 0.4)
    np.testing.assert_allclose(distances, 0.15, atol=0.005)
    # Straight lines between the points lose next to nothing of the circle.
    area = cv2.contourArea(np.array(region.points, np.float32))
    assert area == pytest.approx(np.pi * 0.15**2 * rows * columns, rel=0.02)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_a_region_at_the_corner_stays_inside_the_image(rows: int, columns: int) -> None:
    noise = np.random.default_rng(1).uniform(0, 0.7, (7, 7)).astype(np.float32)
    noise[5:, 5:] = 1
    region = region_of(Heatmap(noise, "Grad-CAM"), rows, columns)
    assert region is not None
    points = np.array(region.points)
    assert len(points) <= MOST_POINTS
    assert (points >= 0).all()
    assert (points <= (columns, rows)).all()
    # To the last pixels: there is no gap between the region and the edge of the image.
    np.testing.assert_allclose(points.max(axis=0), (columns, rows), atol=max(rows, columns) / 1024)


def test_the_largest_of_several_places_is_taken() -> None:
    two = np.maximum(bump((0.2, 0.2), 0.05), 0.9 * bump((0.7, 0.7), 0.15))
    region = region_of(Heatmap(two, "Grad-CAM"), 1000, 1000)
    assert region is not None
    assert np.array(region.points).min() > 500


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_flat_map_has_no_region(value: float) -> None:
    assert region_of(Heatmap(np.full((7, 7), value, np.float32), "Grad-CAM"), 800, 600) is None
