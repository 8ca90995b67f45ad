"""The film of a phantom: where its pixels lie in the body, and how water in the beam becomes grey.

Lengths are millimetres in the patient: x to the patient's left (the image's right), y towards the feet, z to the
front; the origin lies in the spine at the height of the lungs' tops. What is in the beam counts as mm of water.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Floats = npt.NDArray[np.floating]

WATER = 0.0195
"""Attenuation of water per mm for the filtered beam of about 65 kVp that children's chests are taken with."""


@dataclass(frozen=True, slots=True)
class Film:
    """A detector of ``rows`` x ``columns`` pixels; anatomy is worked out on every second one, which is fine enough."""

    rows: int
    columns: int
    width: float
    """mm in the patient that the columns span."""
    top: float
    """y of the uppermost row."""
    shift: float
    """x of the middle column."""
    tilt: float
    """Radians by which the child lies askew."""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.rows + 1) // 2, (self.columns + 1) // 2

    @property
    def cell(self) -> float:
        """mm between the points of ``grid``."""
        return 2.0 * self.width / self.columns

    def grid(self) -> tuple[Floats, Floats]:
        """x and y of every point, each (h, w) float32."""
        height, width = self.shape
        v, u = np.mgrid[0:height, 0:width].astype(np.float32)
        x = (u - (width - 1) / 2) * self.cell + self.shift
        y = v * self.cell + self.top
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return (x * cos + y * sin).astype(np.float32), (y * cos - x * sin).astype(np.float32)

    def cast(self, points: Floats, volumes: Floats) -> Floats:
        """The shadow of small bodies, (h, w) float32 in mm of water.

        Args:
            points: (n, 3) where they are.
            volumes: (n,) mm3 of water each attenuates as.
        """
        height, width = self.shape
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        x, y = points[:, 0] * cos - points[:, 1] * sin, points[:, 1] * cos + points[:, 0] * sin
        u, v = (x - self.shift) / self.cell + (width - 1) / 2, (y - self.top) / self.cell
        left, upper = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        inside = (left >= 0) & (left < width - 1) & (upper >= 0) & (upper < height - 1)
        left, upper, volumes = left[inside], upper[inside], volumes[inside]
        right_share, lower_share = u[inside] - left, v[inside] - upper
        shadow = np.zeros(height * width)
        for row, share_y in ((0, 1 - lower_share), (1, lower_share)):
            for column, share_x in ((0, 1 - right_share), (1, right_share)):
                at = (upper + row) * width + left + column
                shadow += np.bincount(at, volumes * share_x * share_y, height * width)
        return smoothed((shadow.reshape(height, width) / self.cell**2).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a film was taken and shown."""

    scatter: float
    """Scattered by primary radiation behind an average body."""
    quanta: float
    """Per pixel without a body; fewer is noisier."""
    depth: float
    """Optical depth shown at 63 % of white."""
    contrast: float
    """Power of the curve that shows it; more is steeper."""
    enhancement: float
    """Share of local contrast the viewing software adds."""


def expose(water: Floats, film: Film, exposure: Exposure, rng: np.random.Generator) -> Floats:
    """(h, w) mm of water on the film's grid -> (rows, columns) float32 in [0, 1], high is white."""
    primary = resized(np.exp(-WATER * np.maximum(water, 0.0)), (film.rows, film.columns))
    signal = primary + exposure.scatter * blurred(primary, 22.0 / film.cell * 2) * 0.55
    signal *= 1.0 - 0.10 * _fall_off(film.rows, film.columns)
    signal += rng.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(np.maximum(signal, 0.0) / exposure.quanta)
    depth = -np.log(np.maximum(signal / (1.0 + 0.55 * exposure.scatter), 1e-3))
    depth += exposure.enhancement * (depth - blurred(depth, 9.0 / film.cell * 2))
    depth = smoothed(depth)
    grey = 1.0 - np.exp(-((np.maximum(depth, 0.0) / exposure.depth) ** exposure.contrast))
    return np.clip(0.94 * grey, 0.0, 1.0).astype(np.float32)


def mark(grey: Floats, letter: str, at: tuple[float, float]) -> None:
    """Write a side marker into a finished film; ``at`` is its middle as shares of width and height."""
    rows, columns = grey.shape
    canvas = Image.new("L", (columns, rows))
    font = ImageFont.load_default(size=round(0.05 * min(rows, columns)))
    ImageDraw.Draw(canvas).text((at[0] * columns, at[1] * rows), letter, fill=255, font=font, anchor="mm")
    np.maximum(grey, np.asarray(canvas, dtype=np.float32) / 255.0 * 0.97, out=grey)


def resized(image: Floats, shape: tuple[int, int]) -> Floats:
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BICUBIC), dtype=np.float32)


def blurred(image: Floats, sigma: float) -> Floats:
    """A wide blur (``sigma`` in pixels) by way of a small copy."""
    factor = max(1, round(sigma / 2))
    rows, columns = image.shape
    small = Image.fromarray(image).resize((-(-columns // factor), -(-rows // factor)), Image.Resampling.BOX)
    soft = np.asarray(small, dtype=np.float32)
    for _ in range(4):  # each binomial pass adds a variance of half a pixel, and the small copy's cells the rest
        soft = smoothed(smoothed(soft))
    return resized(soft, (rows, columns))


def smoothed(image: Floats) -> Floats:
    """One binomial pass (1 2 1) in both directions, edges repeated."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = 0.5 * image + 0.25 * (before + after)
    return image


def noise(shape: tuple[int, int], cell: float, size: float, rng: np.random.Generator, octaves: int = 4) -> Floats:
    """(h, w) float32 cloud of about unit variance whose largest lumps are ``size`` mm; ``cell`` is mm per pixel."""
    cloud = np.zeros(shape, dtype=np.float32)
    total = 0.0
    for octave in range(octaves):
        lump = max(size / 2**octave / cell, 1.0)
        seeds = rng.standard_normal((int(shape[0] / lump) + 3, int(shape[1] / lump) + 3), dtype=np.float32)
        share = 0.62**octave
        full = resized(seeds, (int(seeds.shape[0] * lump) + 1, int(seeds.shape[1] * lump) + 1))
        cloud += share * full[: shape[0], : shape[1]]
        total += share**2
    return cloud / np.float32(0.75 * np.sqrt(total))


def _fall_off(rows: int, columns: int) -> Floats:
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return (np.hypot(x, y) ** 2 / 2).astype(np.float32)
