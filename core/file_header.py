"""The header of a DICOM file that a stranger made, read no further than is needed and without a word to the log."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag

from core.errors import FailedForGood
from core.transfer_syntaxes import READABLE

MAXIMUM_SIDE = 65_535
"""Of an image, in pixels: Rows and Columns are VR US (PS3.3 C.7.6.3.1, PS3.5 6.2)."""

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 9.1
_LONGEST_VALUE = 1024
"""Bytes; PS3.5 6.2 allows 64 characters at most, and PostgreSQL's indexes end at some 2700 bytes."""
_MOST_READS = 50_000
"""Of one header: some 16,000 elements, read in a fraction of a second."""

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TEXTS = ("Modality", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDate")
_SIZES = ("SamplesPerPixel", "NumberOfFrames", "Rows", "Columns")
_NEEDED = [Tag(keyword) for keyword in (*_UIDS, *_TEXTS)]
_NEEDED_OF_IMAGE = [*_NEEDED, *(Tag(keyword) for keyword in _SIZES)]

_IMPLICIT_VR, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"

# Libraries warn about odd values and may quote a patient in doing so; switching warnings off is not thread-safe.
_quiet = threading.Lock()


@dataclass(frozen=True, slots=True)
class Header:
    """Attributes of the data set. UIDs are valid and without padding; the rest is as received, without padding."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_date: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    about: Header
    transfer_syntax_uid: str
    """One that is readable."""
    samples_per_pixel: int
    rows: int
    columns: int
    """0 where there is none, as the two before it."""
    number_of_frames: int


class BoundedReads:
    """A file that may be read so many times: what is made of a million tiny parts ends early, with an OSError."""

    def __init__(self, file: BinaryIO, most: int = _MOST_READS) -> None:
        self._file, self._left = file, most
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("more parts than are read")
        return self._file.read(size)


@contextmanager
def quietly() -> Iterator[None]:
    """No warning of a library gets out; one thread at a time."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(file: BinaryIO) -> Header:
    """Stops long before the pixel data.

    Raises:
        FailedForGood: ``unreadable``, ``uid_missing``, ``uid_invalid`` or ``value_too_long``.
        OSError: the file cannot be read.
    """
    try:
        with quietly():
            dataset = read_partial(
                file,
                stop_when=_is_past(max(_NEEDED)),
                defer_size=_LONGEST_VALUE,
                specific_tags=list(_NEEDED),
            )
            return Header(*_uids_and_texts(dataset))
    except (FailedForGood, OSError):
        raise
    except Exception as exc:
        # Whatever pydicom trips over in a stranger's bytes, RecursionError included, has this one meaning.
        raise FailedForGood("unreadable", type(exc).__name__) from exc


def read_image_header(file: BinaryIO) -> ImageHeader:
    """Stops before the pixel data, and reads no data set in a transfer syntax that we do not decode.

    Raises:
        FailedForGood: as ``read_header``, or ``unsupported_transfer_syntax``.
    """
    bounded = cast("BinaryIO", BoundedReads(file))
    try:
        with quietly():
            transfer_syntax_uid = _transfer_syntax(bounded)
            dataset = read_dataset(
                bounded,
                is_implicit_VR=transfer_syntax_uid == _IMPLICIT_VR,
                is_little_endian=transfer_syntax_uid != _BIG_ENDIAN,
                stop_when=_is_past(max(_NEEDED_OF_IMAGE)),
                defer_size=_LONGEST_VALUE,
                specific_tags=list(_NEEDED_OF_IMAGE),
            )
            about = Header(*_uids_and_texts(dataset))
            frames = _clean(_raw(dataset, "NumberOfFrames").decode("ascii", "replace"))
            return ImageHeader(
                about=about,
                transfer_syntax_uid=transfer_syntax_uid,
                samples_per_pixel=_unsigned(dataset, "SamplesPerPixel"),
                rows=_unsigned(dataset, "Rows"),
                columns=_unsigned(dataset, "Columns"),
                number_of_frames=int(frames) if frames else 1,
            )
    except FailedForGood:
        raise
    except Exception as exc:
        raise FailedForGood("unreadable", type(exc).__name__) from exc  # as above; OSError is BoundedReads'


def canonical_uid(value: str) -> str | None:
    """The UID without padding, or None where it is none (PS3.5 9.1)."""
    uid = _clean(value)
    return uid if len(uid) <= 64 and _UID.fullmatch(uid) else None


def _transfer_syntax(file: BinaryIO) -> str:
    """From the file meta information alone: pydicom would inflate a deflated data set at once, to whatever size."""
    read_preamble(file, force=False)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,
        defer_size=_LONGEST_VALUE,
    )
    transfer_syntax_uid = _clean(_raw(meta, "TransferSyntaxUID").decode("ascii", "replace"))
    if transfer_syntax_uid not in READABLE:
        raise FailedForGood("unsupported_transfer_syntax")
    return transfer_syntax_uid


def _is_past(last: BaseTag) -> Callable[[BaseTag, str | None, int], bool]:
    return lambda tag, _vr, _length: tag > last


def _uids_and_texts(dataset: Dataset) -> list[str]:
    """In the order of the fields of ``Header``."""
    uids = [_uid(dataset, keyword) for keyword in _UIDS]
    encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
    return [*uids, *(_clean(decode_bytes(_raw(dataset, keyword), encodings, set())) for keyword in _TEXTS)]


def _uid(dataset: Dataset, keyword: str) -> str:
    value = _raw(dataset, keyword).decode("ascii", "replace")
    if not _clean(value):
        raise FailedForGood("uid_missing", keyword)
    uid = canonical_uid(value)
    if uid is None:
        raise FailedForGood("uid_invalid", keyword)
    return uid


def _unsigned(dataset: Dataset, keyword: str) -> int:
    """VR US; 0 where it is absent or has several values."""
    element, raw = dataset.get_item(keyword), _raw(dataset, keyword)
    if not isinstance(element, RawDataElement) or len(raw) != 2:
        return 0
    return int.from_bytes(raw, "little" if element.is_little_endian else "big")


def _raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword, keep_deferred=True)
    if not isinstance(element, RawDataElement):  # absent, or of undefined length, which none of these can have
        return b""
    if element.length > _LONGEST_VALUE:
        raise FailedForGood("value_too_long", keyword)
    return element.value or b""


def _clean(value: str) -> str:
    """Without padding and NUL: PS3.5 6.2 pads with either, and PostgreSQL's text refuses the latter."""
    return value.replace("\0", "").strip(" ")
