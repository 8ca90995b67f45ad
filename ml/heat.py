"""The colours of a heat map over a radiograph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

STRONGEST = 0.36
"""Opacity of the hottest place: the lung stays visible under it."""
FAINTEST = 0.4
"""Share of the peak at which colour begins: below it a map spreads over the whole chest and says little."""

# Anchors of matplotlib's "plasma" (CC0): even steps of lightness, safe for colour-blind readers, never grey. Its last
# tenth is left out, since yellow over grey turns green.
_COLOURS = np.array([
    (70, 3, 159), (114, 1, 168), (156, 23, 158), (189, 55, 134),
    (216, 87, 107), (237, 121, 83), (251, 159, 58), (253, 202, 38),
], dtype=np.float32)  # fmt: skip
_SOFT_TISSUE = 90.0


def shares(values: npt.NDArray[np.float32], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """A map of any size, its maximum above 0, to (rows, columns) float32 in [0, 1]: shares of that maximum."""
    smooth = Image.fromarray(values / values.max()).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth, dtype=np.float32), 0.0, 1.0)


def blend(colours: npt.NDArray[np.float32], values: npt.NDArray[np.float32], peak: float) -> npt.NDArray[np.float32]:
    """Grey (h, w, 3) in [0, 255] under a map of any size, whose hottest place counts as the share ``peak``."""
    return _tint(colours, shares(values, *colours.shape[:2]) * np.float32(peak))


def colour_bar(length: int, height: int) -> npt.NDArray[np.uint8]:
    """(height, length, 3): shares from 0 to 1 over the grey of soft tissue, the colours of the picture."""
    share = np.linspace(0.0, 1.0, length, dtype=np.float32)[None]
    bar = _tint(np.full((1, length, 3), _SOFT_TISSUE, np.float32), share)
    return np.repeat(np.rint(bar).astype(np.uint8), height, axis=0)


def palette() -> npt.NDArray[np.uint8]:
    """(256, 3): the colour of each share of the peak from 0 to 255, at full strength; black where it has none."""
    share = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    colours = _colour_of(np.clip((share - FAINTEST) / (1.0 - FAINTEST), 0.0, 1.0))
    return np.rint(np.where((share > FAINTEST)[:, None], colours, 0)).astype(np.uint8)


def _tint(colours: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grey values (h, w, 3) in [0, 255] under the colour of each place's share of the peak (h, w) in [0, 1]."""
    heat = np.clip((share - FAINTEST) / (1.0 - FAINTEST), 0.0, 1.0)
    alpha = (STRONGEST * heat)[..., None]
    return colours * (1.0 - alpha) + _colour_of(heat) * alpha


def _colour_of(share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(...) in [0, 1] to (..., 3) in [0, 255]."""
    anchors = np.linspace(0.0, 1.0, len(_COLOURS))
    return np.stack([np.interp(share, anchors, channel) for channel in _COLOURS.T], axis=-1).astype(np.float32)
