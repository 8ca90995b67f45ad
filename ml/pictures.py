"""PNG files of what a model saw and where it looked, for pages and programs.

Compression is zlib's run lengths at its lowest level: of a radiograph that makes smaller files than the default's
matches, in half of the time.
"""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.records import Heatmap
from ml.heat import palette, shares

LONGEST_SIDE = 768
"""Pixels, of the radiograph and of its heat map."""
PAGE_WIDTH = 1024


def original_png(image: npt.NDArray[np.float32]) -> bytes:
    """(H, W) float32 in [0, 1], high is white, as grey of 8 bits."""
    grey = Image.fromarray((image * np.float32(255) + np.float32(0.5)).astype(np.uint8))
    return _png(grey.resize(_size(*image.shape), Image.Resampling.BILINEAR, reducing_gap=2.0))


def heatmap_png(heatmap: Heatmap, rows: int, columns: int, peak: float) -> bytes:
    """The map over an image of so many rows and columns, in the size of its ``original_png``.

    A pixel's palette index is 255 times the share of the map's own peak, times ``peak``, as the page shows it; the
    palette gives it the page's colour, and black where the page shows none.
    """
    width, height = _size(rows, columns)
    level = np.zeros((height, width), np.float32)
    if heatmap.values.max() > 0:
        level = shares(heatmap.values, height, width) * np.float32(peak)
    picture = Image.fromarray(np.rint(level * 255).astype(np.uint8))
    picture.putpalette(palette().tobytes())
    return _png(picture)


def page_png(page: npt.NDArray[np.uint8]) -> bytes:
    """(h, w, 3) uint8 RGB as ``ml.overlay`` draws it, narrower."""
    picture = Image.fromarray(page)
    size = PAGE_WIDTH, round(picture.height * PAGE_WIDTH / picture.width)
    return _png(picture.resize(size, Image.Resampling.BILINEAR))


def _size(rows: int, columns: int) -> tuple[int, int]:
    """Width and height."""
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()
