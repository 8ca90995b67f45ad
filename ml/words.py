"""Lines of text on a picture, as high as they need to be."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

SMALL, BODY, LARGE, HEADLINE = 15, 17, 20, 30
"""Pixels. Below 14 a reader at the distance of a workstation has to lean forward."""


@functools.cache
def typeface(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans: Latin with all accents, Greek, Cyrillic; Pillow's own has ASCII alone."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than ``width`` pixels; a word that is wider by itself is broken."""
    lines, line = [], ""
    for word in text.split():
        rest, joined = word, f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while font.getlength(rest) > width and len(rest) > 1:
            fits = next(n for n in range(len(rest) - 1, 0, -1) if n == 1 or font.getlength(rest[:n]) <= width)
            lines.append(rest[:fits])
            rest = rest[fits:]
        line = rest
    return [*lines, line] if line else lines


@dataclass(slots=True)
class Column:
    """Text set from the top down; nothing is drawn before its height is known."""

    left: int
    width: int
    y: int
    _set: list[tuple[int, int, str, ImageFont.FreeTypeFont, Colour, str]] = field(default_factory=list)

    def line(self, text: str, size: int, colour: Colour, *, bold: bool = False) -> None:
        font = typeface(size, bold=bold)
        for part in wrapped(text, font, self.width):
            self._set.append((self.left, self.y, part, font, colour, "la"))
            self.y += round(size * 1.4)

    def mark(self, text: str, share: float, colour: Colour) -> None:
        """A small label at a share of the width, without moving on."""
        anchor = {0.0: "la", 1.0: "ra"}.get(share, "ma")
        self._set.append((self.left + round(share * self.width), self.y, text, typeface(SMALL), colour, anchor))

    def draw(self, canvas: Image.Image) -> None:
        draw = ImageDraw.Draw(canvas)
        for x, y, text, font, colour, anchor in self._set:
            draw.text((x, y), text, font=font, fill=colour, anchor=anchor)
