"""Pixel Data -> stored words, with limits held against the header before anything is decoded."""

from __future__ import annotations

from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from core.errors import FailedForGood
from core.transfer_syntaxes import READABLE
from dicom.codestreams import frame_size
from dicom.headers import MALFORMED, integer, quietly, text

# A detector of 43 x 43 cm would need pixels of 43 micrometres for this; chest radiographs have 4 to 20 million pixels.
MAXIMUM_PIXELS = 100_000_000

# Faster than GDCM, which pydicom would ask first, and better kept. Pillow also reads the JPEG files of training.
_PREFERRED_PLUGIN = {
    JPEGBaseline8Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
}

Words = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def stored_words(dataset: Dataset) -> Words:
    """(H, W) uint8 or uint16: the pixel cells as stored, all Bits Allocated, neither masked nor sign-extended.

    Raises:
        FailedForGood: ``undecodable_pixels``.
    """
    try:
        with quietly():
            return _decode(dataset)
    except (MemoryError, OSError, RuntimeError, *MALFORMED) as exc:
        detail = str(exc) if isinstance(exc, _Refused) else type(exc).__name__
        raise FailedForGood("undecodable_pixels", detail) from exc


class _Refused(ValueError):
    """A check of ours failed; the message holds no attribute of a patient."""


def _decode(dataset: Dataset) -> Words:
    syntax = UID(text(dataset.file_meta, "TransferSyntaxUID"))
    rows, columns = integer(dataset, "Rows", 0), integer(dataset, "Columns", 0)
    bits_allocated, bits_stored = integer(dataset, "BitsAllocated", 0), integer(dataset, "BitsStored", 0)
    for wrong, why in (
        (syntax not in READABLE, f"transfer syntax {syntax} is not supported"),
        (integer(dataset, "NumberOfFrames", 1) != 1, "more than one frame"),
        (integer(dataset, "SamplesPerPixel", 1) != 1, "more than one sample per pixel"),
        (
            text(dataset, "PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"),
            "Photometric Interpretation is neither MONOCHROME1 nor MONOCHROME2",
        ),
        (bits_allocated not in (8, 16), f"Bits Allocated is {bits_allocated}, expected 8 or 16"),
        (not 1 <= bits_stored <= bits_allocated, f"Bits Stored is {bits_stored} of {bits_allocated}"),
        (rows < 1 or columns < 1, f"{rows} x {columns} pixels"),
        (rows * columns > MAXIMUM_PIXELS, f"{rows} x {columns} pixels, at most {MAXIMUM_PIXELS} are decoded"),
        ("PixelData" not in dataset, "no Pixel Data"),
    ):
        if wrong:
            raise _Refused(why)
    precision = bits_stored
    if syntax.is_encapsulated and syntax != RLELossless:
        *size, precision = frame_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if size != [rows, columns]:
            raise _Refused(f"the codestream holds {size[0]} x {size[1]} pixels, the header says {rows} x {columns}")
    if syntax == JPEGExtended12Bit and precision > 8:
        return _jpeg_extended(get_frame(dataset.PixelData, 0, number_of_frames=1), rows, columns)
    # Bits above Bits Stored and the sign are dealt with in greyscale.py, where High Bit counts as well.
    try:
        pixels = _decode_with(_PREFERRED_PLUGIN.get(syntax, ""), dataset, syntax)
    except RuntimeError:
        pixels = _decode_with("", dataset, syntax)  # the others may read what breaks the standard
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.view(np.uint8) if native.itemsize == 1 else native.view(np.uint16)


def _decode_with(plugin: str, dataset: Dataset, syntax: UID) -> npt.NDArray[Any]:
    options: dict[str, Any] = {"view_only": True, "correct_unused_bits": False, "allow_excess_frames": False}
    pixels, _ = get_decoder(syntax).as_array(dataset, raw=True, index=0, decoding_plugin=plugin, **options)
    return pixels


def _jpeg_extended(codestream: bytes, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    """Process 4, 12 bits: pydicom passes it to no decoder, GDCM's libjpeg reads it."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    # The binding hands char* over as str.
    content = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(content, np.uint16).reshape(rows, columns)
