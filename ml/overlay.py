"""The picture a radiologist sees: radiograph, heat map, and below it in words what the model said.

Nothing is written over the radiograph; words, colour bar and notes stand in a banner under it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from core.records import Heatmap, Outcome

READING_SIZE = 1024
SMALLEST = 512
"""Smaller radiographs are enlarged to this longest side."""
NARROWEST = 480
"""The banner's words need this width; a narrower picture gets black margins."""

STRONGEST = 0.5
"""Opacity of the hottest place: the lung stays visible under it."""
FAINTEST = 0.4
"""Share of the peak at which colour begins: below it a map spreads over the whole chest and says little."""

# Anchors of matplotlib's "plasma" (CC0): even steps of lightness, safe for colour-blind readers, never grey. Its last
# tenth is left out, since yellow over grey turns green.
_COLOURS = np.array([
    (70, 3, 159), (114, 1, 168), (156, 23, 158), (189, 55, 134),
    (216, 87, 107), (237, 121, 83), (251, 159, 58), (253, 202, 38),
], dtype=np.float32)  # fmt: skip

_BACKGROUND = (16, 18, 22)
_RULE = (62, 68, 78)
_TEXT = (236, 239, 244)
_MUTED = (160, 168, 180)
_AMBER = (255, 196, 84)
_ACCENT = {Outcome.POSITIVE: (255, 142, 74), Outcome.NEGATIVE: (94, 190, 230)}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Caption:
    outcome: Outcome
    probability: float
    threshold: float
    model: str
    version: str
    intended_use: str
    warnings: tuple[str, ...]
    """Plain sentences."""
    label: str = "pneumonia"


def render(
    image: npt.NDArray[np.float32], heatmap: Heatmap | None, caption: Caption, *, reading_size: int = READING_SIZE
) -> npt.NDArray[np.uint8]:
    """(H, W) float32 in [0, 1], high is white, to (h, w, 3) uint8 RGB; the picture on top, the banner below.

    Colour is the share of the map's own peak, from FAINTEST on. Below the operating point shares are lowered by
    probability / threshold, so that a clearly negative image, whose map is mere noise scaled up, stays grey.
    """
    picture = _to_reading_size(image, reading_size)
    peak = _peak_share(caption) if heatmap is not None and heatmap.values.max() > 0 else 0.0
    colours = np.repeat(picture[..., None] * 255.0, 3, axis=2)
    if heatmap is not None and peak > 0:
        colours = blend(colours, heatmap.values, peak)
    height, width = picture.shape
    page_width = max(width, NARROWEST)
    banner = _Banner(page_width, caption, peak if heatmap is not None else None).draw()
    page = np.zeros((height + banner.height, page_width, 3), dtype=np.uint8)
    left = (page_width - width) // 2
    page[:height, left : left + width] = np.rint(colours)
    page[height:] = np.asarray(banner)
    return page


def _to_reading_size(image: npt.NDArray[np.float32], reading_size: int) -> npt.NDArray[np.float32]:
    height, width = image.shape
    longest = max(height, width)
    scale = min(max(longest, SMALLEST), reading_size) / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = Image.fromarray(image.astype(np.float32, copy=False)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized, dtype=np.float32), 0.0, 1.0)


def _peak_share(caption: Caption) -> float:
    return min(1.0, caption.probability / caption.threshold)


def blend(colours: npt.NDArray[np.float32], values: npt.NDArray[np.float32], peak: float) -> npt.NDArray[np.float32]:
    """Grey (h, w, 3) in [0, 255] under a map of any size, whose hottest place counts as the share ``peak``."""
    height, width = colours.shape[:2]
    smooth = Image.fromarray(values / values.max()).resize((width, height), Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(smooth, dtype=np.float32), 0.0, 1.0) * np.float32(peak)
    return _tint(colours, share)


def _tint(colours: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grey values (h, w, 3) in [0, 255] under the colour of each place's share of the peak (h, w) in [0, 1]."""
    heat = np.clip((share - FAINTEST) / (1.0 - FAINTEST), 0.0, 1.0)
    alpha = (STRONGEST * heat)[..., None]
    return colours * (1.0 - alpha) + _colour_of(heat) * alpha


def _colour_of(share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(...) in [0, 1] to (..., 3) in [0, 255]."""
    anchors = np.linspace(0.0, 1.0, len(_COLOURS))
    return np.stack([np.interp(share, anchors, channel) for channel in _COLOURS.T], axis=-1).astype(np.float32)


class _Banner:
    """Lines of text with a colour bar, as wide as the page and as high as the words need."""

    def __init__(self, width: int, caption: Caption, peak: float | None) -> None:
        self._width, self._caption, self._peak = width, caption, peak
        self._unit = max(15, min(22, width // 42))
        self._margin = self._unit
        self._y = self._margin
        # Cut to the lines drawn at the end.
        self._image = Image.new("RGB", (width, 4096), _BACKGROUND)
        self._draw = ImageDraw.Draw(self._image)

    def draw(self) -> Image.Image:
        caption = self._caption
        accent = _ACCENT.get(caption.outcome, _MUTED)
        self._draw.rectangle((0, 0, self._width, max(3, self._unit // 5)), fill=accent)
        self._line(caption.intended_use, 0.95, _AMBER)
        headline = f"{caption.label.capitalize()}: {caption.outcome.value.replace('_', ' ').upper()}"
        self._headline(headline, f"{100 * caption.probability:.1f} %", accent)
        self._line(
            f"Operating point: positive from {100 * caption.threshold:.1f} %.  "
            f"Model {caption.model}, version {caption.version}.",
            0.85,
            _MUTED,
        )
        for warning in caption.warnings:
            self._line(f"! {warning}", 0.9, _AMBER)
        if self._peak is not None:
            self._colour_bar(self._peak)
        return self._image.crop((0, 0, self._width, self._y + self._margin // 2))

    def _font(self, scale: float) -> Font:
        return ImageFont.load_default(size=round(self._unit * scale))

    def _line(self, text: str, scale: float, colour: tuple[int, int, int]) -> None:
        font = self._font(scale)
        columns = max(10, int((self._width - 2 * self._margin) * 0.97 * len(text) / font.getlength(text)))
        for line in textwrap.wrap(text, columns) or [""]:
            self._draw.text((self._margin, self._y), line, font=font, fill=colour)
            self._y += round(self._unit * scale * 1.4)
        self._y += self._unit // 4

    def _headline(self, left: str, right: str, colour: tuple[int, int, int]) -> None:
        font = self._font(1.8)
        self._draw.text((self._margin, self._y), left, font=font, fill=colour)
        self._draw.text((self._width - self._margin, self._y), right, font=font, fill=_TEXT, anchor="ra")
        self._y += round(self._unit * 2.5)

    def _colour_bar(self, peak: float) -> None:
        self._y += self._unit // 4
        self._draw.line((self._margin, self._y, self._width - self._margin, self._y), fill=_RULE)
        self._y += self._unit // 2
        length = self._width - 2 * self._margin
        share = np.linspace(0.0, 1.0, length, dtype=np.float32)[None]
        # Over the grey of soft tissue, so that the bar has the colours of the picture and not of the bare palette.
        bar = np.repeat(_tint(np.full((1, length, 3), 90.0, np.float32), share), max(8, self._unit // 2), axis=0)
        self._image.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (self._margin, self._y))
        self._y += bar.shape[0] + self._unit // 4
        small = self._font(0.8)
        begin = f"{100 * FAINTEST:.0f} %"
        for text, x, anchor in (("0", 0.0, "la"), (begin, FAINTEST, "ma"), ("100 % of peak", 1.0, "ra")):
            self._draw.text((self._margin + x * length, self._y), text, font=small, fill=_MUTED, anchor=anchor)
        self._y += round(self._unit * 1.3)
        faded = "" if peak >= 1 else f" Below the operating point colours fade: at most {100 * peak:.0f} % here."
        self._line(
            f"Grad-CAM: where the score for {self._caption.label} came from, not the outline of a lesion.{faded}",
            0.8,
            _MUTED,
        )
