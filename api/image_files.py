"""Is an upload an image that we take? Its first bytes say what it is; its size is known before a pixel is decoded."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, NoReturn, cast

from PIL import ExifTags, Image

from api.problems import Code, Refusal
from audit.models import DICOM
from core.errors import FailedForGood
from core.file_header import MAXIMUM_SIDE, BoundedReads, ImageHeader, quietly, read_image_header

JPEG, PNG = "image/jpeg", "image/png"
_FORMATS = {JPEG: "JPEG", PNG: "PNG"}
_MAGIC = {JPEG: b"\xff\xd8\xff", PNG: b"\x89PNG\r\n\x1a\n"}
_DICOM_MAGIC, _DICOM_AT = b"DICM", 128  # PS3.10 7.1
_GREY_OR_COLOUR = {"1", "L", "LA", "I", "I;16", "P", "PA", "RGB", "RGBA"}
_START_OF_SCAN = b"\xff\xda"  # ITU-T T.81 B.1.1.2: in coded data 0xFF is followed by 0x00, so this is a marker
_PASSES = 16
"""How often the most pixels may be gone over: a progressive JPEG is decoded once for each of its scans."""
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageFile:
    media_type: str
    sha256: str
    size_bytes: int
    columns: int
    rows: int
    """As it is shown: the orientation of a photograph is applied."""
    header: ImageHeader | None = None
    """Of a DICOM file."""


def examine(file: BinaryIO, maximum_pixels: int) -> ImageFile:
    """Raises Refusal: 422 ``no_image`` or ``image_too_large``."""
    media_type = _media_type(file)
    header = None
    if media_type == DICOM:
        header = _dicom_header(file, maximum_pixels)
        columns, rows = header.columns, header.rows
    else:
        columns, rows = _decode(file, media_type, maximum_pixels)
    file.seek(0)
    digest = hashlib.file_digest(cast("io.BufferedIOBase", file), "sha256").hexdigest()
    return ImageFile(media_type, digest, file.tell(), columns, rows, header)


def _media_type(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(_DICOM_AT + len(_DICOM_MAGIC))
    found = [media_type for media_type, magic in _MAGIC.items() if start.startswith(magic)]
    if start[_DICOM_AT:] == _DICOM_MAGIC:
        found.append(DICOM)
    if not found:
        _refuse("The file is no JPEG, no PNG and no DICOM file (PS3.10): its first bytes say so.")
    if len(found) > 1:
        _refuse("The file claims to be a DICOM file and another image at once.")
    return found[0]


def _dicom_header(file: BinaryIO, maximum_pixels: int) -> ImageHeader:
    file.seek(0)
    try:
        header = read_image_header(file)
    except FailedForGood as exc:
        _refuse(f"The DICOM file cannot be used: {exc.code}{exc.detail and f', {exc.detail}'}.")
    if not (header.rows and header.columns and header.samples_per_pixel and header.number_of_frames > 0):
        _refuse("The DICOM file holds no image: it has no rows, columns or samples.")
    _check_size(header.columns, header.rows * header.samples_per_pixel * header.number_of_frames, maximum_pixels)
    return header


def _decode(file: BinaryIO, media_type: str, maximum_pixels: int) -> tuple[int, int]:
    """Columns and rows of a file that decodes to its last pixel."""
    file.seek(0)
    try:
        with quietly():
            image = Image.open(cast("BinaryIO", BoundedReads(file)), formats=(_FORMATS[media_type],))
            columns, rows = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Image.DecompressionBombError:
        _refuse_size(maximum_pixels)
    except Exception:  # noqa: BLE001 - whatever Pillow trips over in a stranger's bytes has this one meaning
        _refuse("The file cannot be decoded.")
    with image:
        _check_size(columns, rows, maximum_pixels)
        _check_sides(columns, rows)
        if image.mode not in _GREY_OR_COLOUR:
            _refuse(f"The image has the colours {image.mode}: send it in grey or RGB.")
        if media_type == PNG and getattr(image, "is_animated", False):
            _refuse("The PNG file holds an animation: send one picture.")
        if media_type == JPEG and _scans(file) * columns * rows > _PASSES * maximum_pixels:
            _refuse("The JPEG file has more scans than are decoded.")
        try:
            image.load()
        except Exception:  # noqa: BLE001 - likewise
            _refuse("The file is broken or ends too early: it cannot be decoded to its end.")
    return (rows, columns) if turned else (columns, rows)


def _scans(file: BinaryIO) -> int:
    here, count, last = file.tell(), 0, b""
    file.seek(0)
    while chunk := file.read(_CHUNK):
        count += (last + chunk).count(_START_OF_SCAN)
        last = chunk[-1:] if chunk[-1:] == _START_OF_SCAN[:1] else b""
    file.seek(here)
    return count


def _check_size(columns: int, rows: int, maximum_pixels: int) -> None:
    if columns * rows > maximum_pixels:
        _refuse_size(maximum_pixels)


def _check_sides(columns: int, rows: int) -> None:
    if max(columns, rows) > MAXIMUM_SIDE:
        detail = f"The image has a side of more than {MAXIMUM_SIDE} pixels, the most that DICOM knows."
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.IMAGE_TOO_LARGE, detail)


def _refuse_size(maximum_pixels: int) -> NoReturn:
    raise Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.IMAGE_TOO_LARGE,
        f"The image has more than {maximum_pixels} pixels (api.maximum_upload_pixels).",
    )


def _refuse(detail: str) -> NoReturn:
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.NO_IMAGE, detail)
