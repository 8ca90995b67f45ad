"""An image's Modality and VOI LUT as a presentation state repeats them."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from dicom.headers import integer, items, numbers, text


def keep_modality_lut(dataset: Dataset, state: Dataset) -> None:
    """PS3.4 N.2.1: a state without a Modality LUT means none, whatever the image has."""
    for item in items(dataset, "ModalityLUTSequence")[:1]:
        if (lut := _lut(item, dataset)) is not None:
            lut.ModalityLUTType = text(item, "ModalityLUTType") or "US"
            state.ModalityLUTSequence = [lut]
            return
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if len(slope) == 1 and len(intercept) == 1 and slope[0] != 0:
        state.RescaleIntercept, state.RescaleSlope = f"{intercept[0]:.10g}", f"{slope[0]:.10g}"
        state.RescaleType = text(dataset, "RescaleType") or "US"  # C.11.1.1.2: unspecified


def keep_voi_lut(dataset: Dataset, state: Dataset) -> None:
    """PS3.3 C.11.8: the first of the image's alternatives, LUT before window. An image without one gets none."""
    voi = Dataset()
    for item in items(dataset, "VOILUTSequence")[:1]:
        if (lut := _lut(item, dataset)) is not None:
            voi.VOILUTSequence = [lut]
    if "VOILUTSequence" not in voi:
        centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
        if not centers or not widths or widths[0] <= 0:
            return
        voi.WindowCenter, voi.WindowWidth = f"{centers[0]:.10g}", f"{widths[0]:.10g}"
        function = text(dataset, "VOILUTFunction").upper()
        if function in ("SIGMOID", "LINEAR_EXACT"):
            voi.VOILUTFunction = function
    state.SoftcopyVOILUTSequence = [voi]


def _lut(item: Dataset, dataset: Dataset) -> Dataset | None:
    """The table with its VRs made plain: a state has no Pixel Representation that would tell them (PS3.5 A.1)."""
    descriptor = [int(number) for number in numbers(item, "LUTDescriptor")]
    data = item.get("LUTData")
    if len(descriptor) != 3 or not data:
        return None
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")
    else:
        words = np.array(numbers(item, "LUTData")).astype(np.int64).astype(np.uint16)
    entries, first, bits = descriptor
    if integer(dataset, "PixelRepresentation", 0) == 1:
        vr, entries, first = "SS", _as_signed(entries), _as_signed(first)
    else:
        vr, entries, first = "US", entries % 65536, first % 65536  # 65536 entries are written as 0
    lut = Dataset()
    lut.add_new("LUTDescriptor", vr, [entries, first, min(max(bits, 8), 16)])
    lut.add_new("LUTData", "OW", words.astype("<u2").tobytes())
    return lut


def _as_signed(word: int) -> int:
    return (word + 32768) % 65536 - 32768
