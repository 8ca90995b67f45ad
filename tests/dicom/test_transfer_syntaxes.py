"""Every syntax the listener offers is decoded, bit for bit where it is lossless."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import compress
from pydicom.uid import JPEG2000, UID, ImplicitVRLittleEndian

from core.errors import FailedForGood
from core.transfer_syntaxes import READABLE
from dicom.decoding import stored_words
from dicom.envelope import write
from dicom.pixels import radiograph
from tests.dicom.sources import clean_dx, ramp, reread
from tests.services import require_program

JPEG = "1.2.840.10008.1.2.4."
# What dcmcjpeg and dcmconv call each syntax; the rest is encoded by pydicom's own encoders.
BY_DCMTK = {
    "1.2.840.10008.1.2": ("dcmconv", "+ti"),
    "1.2.840.10008.1.2.1": ("dcmconv", "+te"),
    "1.2.840.10008.1.2.2": ("dcmconv", "+tb"),
    f"{JPEG}50": ("dcmcjpeg", "+eb", "+q", "100"),
    f"{JPEG}51": ("dcmcjpeg", "+ee", "+q", "100"),
    f"{JPEG}57": ("dcmcjpeg", "+el"),
    f"{JPEG}70": ("dcmcjpeg", "+e1"),
}
BY_PYDICOM = ("1.2.840.10008.1.2.5", f"{JPEG}80", f"{JPEG}81", f"{JPEG}90", f"{JPEG}91")
# 16 x 20 pixels of (197 x + 31 y) mod 4096, encoded with OpenJPH 0.26.3: RPCL progression, reversible and irreversible.
HTJ2K_REVERSIBLE = """
/0//UQApQAAAAAAUAAAAEAAAAAAAAAAAAAAAFAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAMEBEAB/1wADSCIkJCQkJCQiIiI/2QA
FwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAKYAAf+TwAAtIP9/x/3J84vxYnMq+QEIAPm2AMAAE0AAFTAABMDl9ACCdAAaAqjmAYN8tQAQ8wBC
VADAABVwAAV0AAE4dNOlJFXQJ+ILdgCKCoXCQ+ngGD4hAey4AH78x/CjtADAAC04AAWtAACYiIiIiIghVqd1/u/hE6R6cYJ5AP55zjnnnPPg8f5AYAAP
fsAAPZZAXQD+/mBgVQD/2Q=="""
HTJ2K_IRREVERSIBLE = """
/0//UQApQAAAAAAUAAAAEAAAAAAAAAAAAAAAFAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAAKv9SAAwAAgABAAMEBEAA/1wAFyKnNadMp0ynZJADkAOQ
RpfSl9KXYf9kABcAAU9wZW5KUEggVmVyIDAuMjYuMy7/kAAKAAAAAAEOAAH/k8AABag1ThgChHQAvMn/HOopnAFsAP82AMAABVQAAFXAAAVAAojv5FH+
AUG0ABUIPoEjLQDgv5UAUwRg8QCAVADAABdBAABbcAAFcChRJCQCAhYSYHMKBUVCYgAFIvoF3uQD/gOUHwhAWZoADDDAACMqp8gpcsucdBPA8QATCgBj
gB8k0LsACjIFQMdA1mmxNWIexgDAABdRAABdVAABXmDw6MjKCgQfHVlZgeAcZ7w4B8EygTFE7jDxbwAIr+RX8lfjCsILfgBMkiRJBZZwDGcmOqETTXSi
iU7ohH6ABh5o+B+AAAGmAAFN0odTXrXqMAEUOITXsNIDeOL+YHDB1gD/2Q=="""
BY_OPENJPH = {
    f"{JPEG}201": HTJ2K_REVERSIBLE,
    f"{JPEG}202": HTJ2K_REVERSIBLE,
    f"{JPEG}203": HTJ2K_IRREVERSIBLE,
}
LOSSY = {f"{JPEG}50": 2, f"{JPEG}51": 4, f"{JPEG}81": 4, f"{JPEG}91": 40, f"{JPEG}203": 2}


def radiograph_of(pixels: np.ndarray, bits_stored: int | None = None) -> Dataset:
    dataset = clean_dx(pixels)
    if bits_stored:
        dataset.BitsStored, dataset.HighBit = bits_stored, bits_stored - 1
        dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits_stored - 1), 2**bits_stored
    return dataset


def encoded(syntax: str, tmp_path: Path) -> tuple[Dataset, np.ndarray]:
    """A file of this syntax, and the pixels that went in."""
    if syntax in BY_OPENJPH:
        y, x = np.mgrid[0:16, 0:20]
        pixels = ((197 * x + 31 * y) % 4096).astype(np.uint16)
        dataset = radiograph_of(pixels)
        dataset.PixelData = encapsulate([base64.b64decode(BY_OPENJPH[syntax])])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        return reread(write(dataset)), pixels
    pixels = ramp(8).astype(np.uint8) if syntax == f"{JPEG}50" else ramp(12)
    dataset = radiograph_of(pixels, None if syntax == f"{JPEG}50" else 12)
    if syntax in BY_PYDICOM:
        options = {"jls_error": 4} if syntax == f"{JPEG}81" else {"j2k_cr": [2]} if syntax == JPEG2000 else {}
        compress(dataset, syntax, generate_instance_uid=False, **options)
        return reread(write(dataset)), pixels
    program, *arguments = BY_DCMTK[syntax]
    plain, converted = tmp_path / "plain.dcm", tmp_path / "converted.dcm"
    plain.write_bytes(write(dataset))
    subprocess.run([require_program(program), *arguments, plain, converted], check=True)
    return dcmread(converted), pixels


def test_each_offered_syntax_has_an_encoder_here() -> None:
    assert {*BY_DCMTK, *BY_PYDICOM, *BY_OPENJPH} == set(READABLE)


@pytest.mark.parametrize("syntax", READABLE, ids=lambda uid: UID(uid).name)
def test_stored_values_come_out_as_they_went_in(syntax: str, tmp_path: Path) -> None:
    dataset, pixels = encoded(syntax, tmp_path)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    words = stored_words(dataset).astype(int) & (2**dataset.BitsStored - 1)
    assert words.shape == pixels.shape
    assert np.abs(words - pixels).max() <= LOSSY.get(syntax, 0)
    assert radiograph(dataset).voi == "window"


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", f"{JPEG}70", f"{JPEG}80", f"{JPEG}90"]
)
def test_signed_values_keep_their_sign(syntax: str, tmp_path: Path) -> None:
    plain = radiograph_of((ramp(12).astype(int) - 2048).astype(np.int16).view(np.uint16), 12)
    plain.PixelRepresentation = 1
    plain.WindowCenter, plain.WindowWidth = 0, 4096
    expected = radiograph(plain).pixels
    assert (expected[0, 0], expected[-1, -1]) == (0.0, 1.0)
    if syntax in BY_DCMTK:
        path, converted = tmp_path / "plain.dcm", tmp_path / "converted.dcm"
        path.write_bytes(write(plain))
        program, *arguments = BY_DCMTK[syntax]
        subprocess.run([require_program(program), *arguments, path, converted], check=True)
        dataset = dcmread(converted)
    else:
        compress(plain, syntax, generate_instance_uid=False)
        dataset = reread(write(plain))
    np.testing.assert_array_equal(radiograph(dataset).pixels, expected)


def test_a_codestream_larger_than_its_header_is_not_decoded() -> None:
    dataset = radiograph_of(ramp(12, 128, 128), 12)
    compress(dataset, f"{JPEG}90", generate_instance_uid=False)
    dataset.Rows, dataset.Columns = 10, 10
    with pytest.raises(FailedForGood, match="the codestream holds 128 x 128 pixels, the header says 10 x 10"):
        stored_words(dataset)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Rows": 20_000, "Columns": 20_000}, "20000 x 20000 pixels"),
        ({"Rows": 0}, "0 x 80 pixels"),
        ({"NumberOfFrames": 2**31 - 1}, "more than one frame"),
        ({"SamplesPerPixel": 3}, "more than one sample"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "neither MONOCHROME1 nor MONOCHROME2"),
        ({"BitsAllocated": 32}, "Bits Allocated is 32"),
        ({"BitsStored": 17}, "Bits Stored is 17 of 16"),
        ({"Rows": 61}, "undecodable_pixels: ValueError"),
    ],
)
def test_headers_that_promise_too_much_are_refused_before_decoding(attributes: dict[str, int], message: str) -> None:
    dataset = radiograph_of(ramp(12), 12)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    with pytest.raises(FailedForGood, match=message) as refused:
        stored_words(dataset)
    assert refused.value.code == "undecodable_pixels"


@pytest.mark.parametrize("syntax", [uid for uid in READABLE if UID(uid).is_encapsulated], ids=lambda uid: UID(uid).name)
def test_garbage_in_place_of_a_codestream_fails_for_good(syntax: str) -> None:
    dataset = radiograph_of(ramp(12), 12)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    for garbage in (b"\0\0", b"\xff\xd8\xff", b"\xff\x4f\xff\x51" + bytes(60), b"\xff" * 500, bytes(range(256))):
        dataset.PixelData = encapsulate([garbage])
        with pytest.raises(FailedForGood, match="undecodable_pixels"):
            stored_words(dataset)


def test_missing_pixel_data_fails_for_good() -> None:
    dataset = radiograph_of(ramp(12), 12)
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    with pytest.raises(FailedForGood, match="no Pixel Data"):
        stored_words(dataset)


@pytest.mark.parametrize("syntax", [uid for uid in READABLE if UID(uid).is_encapsulated], ids=lambda uid: UID(uid).name)
def test_half_a_codestream_is_no_image(syntax: str, tmp_path: Path) -> None:
    """A decoder that fills the rest with grey would have the model judge half a chest."""
    dataset, _ = encoded(syntax, tmp_path)
    codestream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([codestream[: len(codestream) // 4 * 2]])
    with pytest.raises(FailedForGood, match="undecodable_pixels"):
        stored_words(dataset)
