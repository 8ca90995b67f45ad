"""Dataset -> radiograph. Serving and training on DICOM read pixels here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset

from core.errors import NotAnalysable
from core.records import Finding
from dicom.decoding import stored_words
from dicom.greyscale import Voi, grey_table
from dicom.headers import numbers, values

# Above this many pixels percentiles come from every second, third ... row and column.
_COUNTED_PIXELS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """``pixels``: (H, W) float32 in [0, 1], high is white; H and W are the source's where its pixels are square."""

    pixels: npt.NDArray[np.float32]
    voi: Voi
    """Which way grey values came about: recorded in the audit row."""
    warnings: tuple[Finding, ...]


def radiograph(dataset: Dataset) -> Radiograph:
    """Decode and render as PS3.4 N.2 orders: modality LUT, VOI LUT, presentation LUT shape or MONOCHROME1.

    Raises:
        FailedForGood: ``undecodable_pixels``.
        NotAnalysable: ``blank_image``, every pixel has the same value.
    """
    words = stored_words(dataset)
    field = _field(dataset, (words.shape[0], words.shape[1]))
    table = grey_table(dataset, _histogram(words[field]))
    if table.uniform:
        raise NotAnalysable([Finding("blank_image", "every pixel of the image has the same value")])
    pixels = np.zeros(words.shape, np.float32)
    pixels[field] = np.take(table.values, words[field])
    pixels, warnings = _squared(dataset, pixels)
    return Radiograph(pixels, table.voi, (*table.warnings, *warnings))


def _field(dataset: Dataset, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns inside the rectangular collimator and shutter (PS3.3 C.8.7.3, C.7.6.11); what lies outside is
    no image. Edges are counted from 1."""
    top, bottom, left, right = 0, shape[0], 0, shape[1]
    for kind in ("Collimator", "Shutter"):
        edges = [numbers(dataset, f"{kind}{edge}") for edge in _EDGES]
        if "RECTANGULAR" in values(dataset, f"{kind}Shape") and all(len(edge) == 1 for edge in edges):
            upper, lower, leftmost, rightmost = (int(edge[0]) for edge in edges)
            top, bottom = max(top, upper - 1), min(bottom, lower)
            left, right = max(left, leftmost - 1), min(right, rightmost)
    if (bottom - top) * (right - left) < shape[0] * shape[1] / 10 or bottom <= top:
        return slice(0, shape[0]), slice(0, shape[1])  # edges in other units, or swapped
    return slice(top, bottom), slice(left, right)


_EDGES = ("UpperHorizontalEdge", "LowerHorizontalEdge", "LeftVerticalEdge", "RightVerticalEdge")


def _histogram(words: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """How often each word occurs in an even sample of the image."""
    step = max(1, math.ceil(math.sqrt(words.size / _COUNTED_PIXELS)))
    return np.bincount(words[::step, ::step].ravel(), minlength=2 ** (8 * words.itemsize))


def _squared(dataset: Dataset, pixels: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], tuple[Finding, ...]]:
    """Resample along the coarser axis, so that a lung has its own shape."""
    ratio = _row_to_column_spacing(dataset)
    if 0.99 < ratio < 1.01:
        return pixels, ()
    if not 0.25 <= ratio <= 4:
        return pixels, (Finding("spacing_ignored", "the pixel spacing names pixels of an impossible shape"),)
    height, width = pixels.shape
    size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized, dtype=np.float32), 0.0, 1.0), ()


def _row_to_column_spacing(dataset: Dataset) -> float:
    """Height of a pixel over its width. PS3.3 C.7.6.3.1.7: the aspect ratio counts where no spacing is given."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0] / spacing[1]
    return 1.0
