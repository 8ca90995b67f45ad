"""Stored values -> grey, as a table with one entry for each word a pixel cell can hold.

Everything between the pixel cell and the P-value is pointwise (PS3.4 N.2), so 256 or 65,536 entries say it all, in
float64 and in the standard's order, and the image costs one look-up however many steps there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from core.records import Finding
from dicom.headers import integer, items, numbers, text, values

Voi = Literal["lut", "window", "percentile", "none"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GreyTable:
    values: npt.NDArray[np.float32]
    """(256,) or (65536,) float32 in [0, 1], high is white; index is the stored word."""
    voi: Voi
    uniform: bool
    """Every pixel counted is of the same stored value: nothing was imaged."""
    warnings: tuple[Finding, ...]


def grey_table(dataset: Dataset, histogram: npt.NDArray[np.int64]) -> GreyTable:
    """``histogram``: (256,) or (65536,) how often each stored word occurs in the part of the image that was exposed."""
    warnings: list[Finding] = []
    stored = _stored_values(dataset, len(histogram))
    padding = _padding(dataset, stored)
    if not np.any(histogram[~padding]):  # a padding value that covers the whole image is a mistake
        padding = np.zeros_like(padding)
    counted = (histogram > 0) & ~padding

    modality, rescaled = _modality(dataset, stored, warnings)
    grey, voi = _voi(dataset, modality)
    if grey is None and not rescaled and integer(dataset, "BitsStored", 16) <= 8:
        grey = modality / (2 ** integer(dataset, "BitsStored", 8) - 1)
        voi = "none"
    uniform = bool(np.ptp(stored[counted]) == 0)
    if grey is None or (np.ptp(np.clip(grey[counted], 0.0, 1.0)) == 0 and not uniform):
        why = "the image names no usable window" if grey is None else "the image's window shows a single grey"
        warnings.append(Finding("window_guessed", f"{why}; grey values follow the 0.5th to 99.5th percentile"))
        grey, voi = _percentile_window(modality, np.where(counted, histogram, 0)), "percentile"
    grey = np.clip(grey, 0.0, 1.0)
    if _inverted(dataset, warnings):
        grey = 1.0 - grey
    grey[padding] = 0.0  # background, whatever the polarity
    return GreyTable(grey.astype(np.float32), voi, uniform, tuple(warnings))


def _stored_values(dataset: Dataset, words: int) -> Floats:
    """PS3.5 8.1.1: Bits Stored of each cell below High Bit; what other bits hold is nobody's business."""
    bits_stored = integer(dataset, "BitsStored", 16)
    shift = 0
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:  # decoders deliver low-aligned samples
        shift = max(0, integer(dataset, "HighBit", bits_stored - 1) + 1 - bits_stored)
    cells = (np.arange(words, dtype=np.int64) >> shift) & (2**bits_stored - 1)
    return _signed(cells, dataset).astype(np.float64)


def _signed(cells: npt.NDArray[np.int64], dataset: Dataset) -> npt.NDArray[np.int64]:
    if integer(dataset, "PixelRepresentation", 0) != 1:
        return cells
    sign = 2 ** (integer(dataset, "BitsStored", 16) - 1)
    return (cells ^ sign) - sign


def _padding(dataset: Dataset, stored: Floats) -> npt.NDArray[np.bool_]:
    """PS3.3 C.7.5.1.1.2: a value, or with Pixel Padding Range Limit a range, that is no image."""
    edges = [*numbers(dataset, "PixelPaddingValue")[:1], *numbers(dataset, "PixelPaddingRangeLimit")[:1]]
    if not edges or not values(dataset, "PixelPaddingValue"):
        return np.zeros(stored.shape, dtype=np.bool_)
    # Its VR follows Pixel Representation and is often written wrongly: 63536 and -2000 are the same word.
    cells = np.array(edges).astype(np.int64) & (2 ** integer(dataset, "BitsStored", 16) - 1)
    low_high = _signed(cells, dataset)
    return (stored >= low_high.min()) & (stored <= low_high.max())


def _modality(dataset: Dataset, stored: Floats, warnings: list[Finding]) -> tuple[Floats, bool]:
    """PS3.3 C.11.1: Modality LUT Sequence, or else Rescale Slope and Intercept; and whether that changed anything."""
    for item in items(dataset, "ModalityLUTSequence")[:1]:
        if (lut := _Lut.read(item, dataset)) is not None:
            return lut.apply(stored), True
    slope = numbers(dataset, "RescaleSlope")
    intercept = numbers(dataset, "RescaleIntercept")
    if len(slope) != 1 or len(intercept) != 1:  # C.11.1.1.2: one needs the other
        return stored, False
    if slope[0] == 0:
        warnings.append(Finding("rescale_ignored", "Rescale Slope is 0, which would leave a single grey"))
        return stored, False
    return stored * slope[0] + intercept[0], (slope[0], intercept[0]) != (1.0, 0.0)


def _voi(dataset: Dataset, modality: Floats) -> tuple[Floats | None, Voi]:
    """PS3.3 C.11.2: VOI LUT Sequence before window, the first of several alternatives; None where there is neither."""
    for item in items(dataset, "VOILUTSequence")[:1]:
        if (lut := _Lut.read(item, dataset)) is not None:
            return lut.apply(modality) / lut.highest, "lut"
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centers or not widths or widths[0] <= 0:
        return None, "none"
    return _window(modality, centers[0], widths[0], text(dataset, "VOILUTFunction").upper()), "window"


def _window(modality: Floats, center: float, width: float, function: str) -> Floats:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3; a function the standard does not know is LINEAR, the default."""
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (modality - center) / width, -700.0, 700.0)
        return 1.0 / (1.0 + np.exp(exponent))
    if function == "LINEAR_EXACT" or width < 1:  # LINEAR is defined from 1 up
        return (modality - center) / width + 0.5
    if width == 1:
        return np.where(modality > center - 0.5, 1.0, 0.0)
    return (modality - (center - 0.5)) / (width - 1.0) + 0.5


def _percentile_window(modality: Floats, histogram: npt.NDArray[np.int64]) -> Floats:
    order = np.argsort(modality, kind="stable")
    share = np.cumsum(histogram[order]) / histogram.sum()
    low, high = modality[order[np.searchsorted(share, (0.005, 0.995))]]
    if high <= low:
        used = modality[histogram > 0]
        low, high = used.min(), used.max()
    return (modality - low) / max(high - low, 1e-9)


def _inverted(dataset: Dataset, warnings: list[Finding]) -> bool:
    """Once: by Presentation LUT Shape where there is one (PS3.3 C.11.6.1.2), else MONOCHROME1, low is white."""
    monochrome1 = text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"
    shape = text(dataset, "PresentationLUTShape").upper()
    if shape not in ("IDENTITY", "INVERSE"):
        return monochrome1
    if (shape == "INVERSE") != monochrome1:  # PS3.3 C.8.11.3.1.2: the two go together
        warnings.append(
            Finding("polarity_contradictory", "Presentation LUT Shape contradicts Photometric Interpretation")
        )
    return shape == "INVERSE"


@dataclass(frozen=True, slots=True)
class _Lut:
    """PS3.3 C.11.1.1 and C.11.2.1.1."""

    data: Floats
    first: float
    highest: float

    @classmethod
    def read(cls, item: Dataset, dataset: Dataset) -> _Lut | None:
        descriptor = numbers(item, "LUTDescriptor")
        raw = item.get("LUTData")
        if len(descriptor) != 3 or raw is None:
            return None
        entries = int(descriptor[0]) % 65536 or 65536  # 0 stands for 65536
        if isinstance(raw, bytes):  # OW; 8-bit entries may be packed two to a word
            order = ">" if not dataset.file_meta.TransferSyntaxUID.is_little_endian else "<"
            data = np.frombuffer(raw, np.uint8 if len(raw) < 2 * entries else f"{order}u2").astype(np.float64)
        else:
            data = np.array(numbers(item, "LUTData"))
        data = data[:entries]
        if not len(data):
            return None
        bits = int(descriptor[2])
        if not 8 <= bits <= 16 or data.max() >= 2**bits:
            bits = max(8, int(data.max()).bit_length())
        signed = integer(dataset, "PixelRepresentation", 0) == 1
        first = descriptor[1] - 65536 if signed and descriptor[1] > 32767 else descriptor[1]
        return cls(data, first, 2.0**bits - 1)

    def apply(self, values: Floats) -> Floats:
        index = np.clip(np.rint(values - self.first), 0, len(self.data) - 1)
        return self.data[index.astype(np.intp)]
