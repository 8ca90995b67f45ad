"""Where a heat map is above half of its maximum, as a polygon."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from core.records import Heatmap, Region
from ml.heat import shares

LEVEL = 0.5
MOST_POINTS = 60
# A map has some ten cells a side: an outline finer than this would be invented.
_LONGEST_SIDE = 1024
_TOLERANCE = 0.5


def region_of(heatmap: Heatmap, rows: int, columns: int) -> Region | None:
    """The largest outline at half of the map's maximum on an image of ``rows`` x ``columns``, in its pixels.

    At most MOST_POINTS points, each strictly inside the image. None where the map is empty or nowhere below half:
    then no place stands out.
    """
    if not heatmap.values.max() > 0:
        return None
    scale = _LONGEST_SIDE / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    hot = shares(heatmap.values, height, width) >= LEVEL
    if hot.all():
        return None
    outlines, _ = cv2.findContours(hot.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = _simplified(outlines[int(np.argmax([cv2.contourArea(each) for each in outlines]))])
    if len(outline) < 3:
        return None
    # OpenCV counts from the middle of the first pixel, a region from its corner.
    points = (outline + 0.5) * (columns / width, rows / height)
    return Region(tuple((float(column), float(row)) for column, row in points))


def _simplified(outline: MatLike) -> npt.NDArray[np.float64]:
    """(n, 2) column, row."""
    tolerance = _TOLERANCE
    while len(simple := cv2.approxPolyDP(outline, tolerance, closed=True)) > MOST_POINTS:
        tolerance *= 1.5
    return simple.reshape(-1, 2).astype(np.float64)
