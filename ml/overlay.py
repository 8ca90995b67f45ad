"""The page a radiologist sees: the radiograph, beside it the same under its heat map, and in words what the model said.

Nothing is written over a radiograph, and both show the whole of it the way round the source has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from core.records import Heatmap, Outcome
from ml.banner import AMBER, BACKGROUND, MUTED, TEXT, Caption, banner
from ml.heat import FAINTEST, blend
from ml.regions import region_of
from ml.words import BODY, SMALL, Column, typeface

__all__ = ["Caption", "render"]

PAGE = (1280, 1024)
"""Width, and the height that is kept unless the words need more: a monitor of about one megapixel at 100 %."""
LOWEST = 400
"""Pixels of height that long words leave the radiographs."""
MARGIN = 12
_TITLE_HEIGHT = 28
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}

_SUPERSAMPLING = 4
# Colour, width in pixels, opacity of 255: the line's dark edge, then the line.
_STROKES = (((0, 0, 0), 3.5, 110), ((255, 255, 255), 1.5, 220))


def render(image: npt.NDArray[np.float32], heatmap: Heatmap | None, caption: Caption) -> npt.NDArray[np.uint8]:
    """(H, W) float32 in [0, 1], high is white, to a page (h, w, 3) uint8 RGB, 1280 pixels wide.

    Colour is the share of the map's own peak. Below the operating point shares are lowered by probability / threshold.
    The outline at half of the peak is drawn where the outcome is positive.
    """
    values = None if heatmap is None or not heatmap.values.max() > 0 else heatmap.values
    region = None
    if heatmap is not None and caption.outcome is Outcome.POSITIVE:
        region = region_of(heatmap, *image.shape)

    width, height = PAGE
    half = (width - 3 * MARGIN) // 2
    header = _header(width, caption.intended_use)
    foot = banner(width, MARGIN, caption, mapped=values is not None, outlined=region is not None)
    room = height - header.height - _TITLE_HEIGHT - MARGIN - foot.height
    original = _fitted(image, half, max(LOWEST, room))
    rows, columns = original.shape
    grey = np.repeat(original[..., None] * np.float32(255.0), 3, axis=2)
    mapped = _picture(grey if values is None else blend(grey, values, caption.peak))
    if region is not None:
        scale = columns / image.shape[1], rows / image.shape[0]
        _draw_line(mapped, [(column * scale[0], row * scale[1]) for column, row in region.points])

    top = header.height + _TITLE_HEIGHT
    page = Image.new("RGB", (width, top + rows + MARGIN + foot.height))
    page.paste(header, (0, 0))
    for number, (title, picture) in enumerate((("Original", _picture(grey)), (_title(caption, values), mapped))):
        left = MARGIN + number * (half + MARGIN) + (half - columns) // 2
        page.paste(picture, (left, top))
        _head(page, title, caption.left_side, (left, left + columns), header.height)
    page.paste(foot, (0, top + rows + MARGIN))
    return np.asarray(page)


def _title(caption: Caption, values: npt.NDArray[np.float32] | None) -> str:
    if values is None:
        return "Heat map: empty"
    return "With heat map" if caption.peak > FAINTEST else "Heat map: no colour this far below the operating point"


def _fitted(image: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    """The whole image, as large as width and height allow."""
    rows, columns = image.shape
    scale = min(width / columns, height / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    resized = Image.fromarray(image.astype(np.float32, copy=False)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized, dtype=np.float32), 0.0, 1.0)


def _picture(colours: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def _header(width: int, intended_use: str) -> Image.Image:
    line = Column(MARGIN, width - 2 * MARGIN, 7)
    line.line(intended_use, BODY, AMBER, bold=True)
    canvas = Image.new("RGB", (width, line.y + 5), BACKGROUND)
    line.draw(canvas)
    return canvas


def _head(page: Image.Image, title: str, left_side: str, columns: tuple[int, int], y: int) -> None:
    """Title of the radiograph below it, in ``columns`` of the page, between the letters of the patient's sides."""
    draw, middle, (left, right) = ImageDraw.Draw(page), y + _TITLE_HEIGHT // 2, columns
    draw.text(((left + right) // 2, middle), title, font=typeface(SMALL), fill=MUTED, anchor="mm")
    letters = typeface(BODY, bold=True)
    draw.text((left, middle), left_side, font=letters, fill=TEXT, anchor="lm")
    draw.text((right, middle), _OPPOSITE.get(left_side, ""), font=letters, fill=TEXT, anchor="rm")


def _draw_line(picture: Image.Image, points: Sequence[tuple[float, float]]) -> None:
    """Closed, thin and white with a dark edge, to be seen on bone as well as on air."""
    fine = [(_SUPERSAMPLING * column, _SUPERSAMPLING * row) for column, row in points]
    for colour, line_width, opacity in _STROKES:
        mask = Image.new("L", (_SUPERSAMPLING * picture.width, _SUPERSAMPLING * picture.height))
        ImageDraw.Draw(mask).line(
            [*fine, *fine[:2]], fill=opacity, width=round(line_width * _SUPERSAMPLING), joint="curve"
        )
        picture.paste(colour, mask=mask.reduce(_SUPERSAMPLING))
