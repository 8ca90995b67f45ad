"""A received data set before it is ours: the file pynetdicom wrote, read as far as the audit row needs."""

from __future__ import annotations

import hashlib
import re
import struct
import threading
import time
import warnings
from dataclasses import dataclass
from io import SEEK_CUR
from pathlib import Path

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from core.errors import FailedForGood

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 9.1
_LONGEST_VALUE = 1024
"""Bytes; PS3.5 6.2 allows 64 characters at most, and PostgreSQL's indexes end at some 2700 bytes."""

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TEXTS = ("Modality", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDate")
_NEEDED = [Tag(keyword) for keyword in (*_UIDS, *_TEXTS)]
_LAST = max(_NEEDED)

# pydicom warns about odd values and may quote a patient in doing so; switching warnings off is not thread-safe.
_quiet = threading.Lock()


@dataclass(frozen=True, slots=True)
class Header:
    """Attributes of the data set. UIDs are valid and without padding; the rest is as received, without padding."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    study_date: str


def read_header(path: Path) -> Header:
    """Stops long before the pixel data.

    Raises:
        FailedForGood: ``unreadable``, ``uid_missing``, ``uid_invalid`` or ``value_too_long``.
    """
    try:
        with _quiet, warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            dataset = read_partial(file, stop_when=_is_past_the_last, defer_size=_LONGEST_VALUE, specific_tags=_NEEDED)  # type: ignore[arg-type]
            uids = [_uid(dataset, keyword) for keyword in _UIDS]
            encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
            texts = [_clean(decode_bytes(_raw(dataset, keyword), encodings, set())) for keyword in _TEXTS]
    except (FailedForGood, OSError):
        raise
    except Exception as exc:
        # Whatever pydicom trips over in a stranger's bytes, RecursionError included, has this one meaning.
        raise FailedForGood("unreadable", type(exc).__name__) from exc
    return Header(*uids, *texts)


def canonical_uid(value: str) -> str | None:
    """The UID without padding, or None where it is none (PS3.5 9.1)."""
    uid = _clean(value)
    return uid if len(uid) <= 64 and _UID.fullmatch(uid) else None


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of the data set alone: the bytes that came over the wire, without file meta information."""
    with path.open("rb") as file:
        file.seek(132)
        # PS3.10 7.1: after preamble and prefix stands (0002,0000), the length of the rest of the group.
        (group_length,) = struct.unpack("<8xL", file.read(12))
        start = file.seek(group_length, SEEK_CUR)
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell() - start


def sweep(folder: Path, idle_seconds: float = 0) -> int:
    """Delete what peers that hung up and processes that died left behind, and say how many files that were."""
    swept = 0
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime >= idle_seconds:
                path.unlink()
                swept += 1
        except FileNotFoundError:  # adopted, or deleted by its association, in this moment
            continue
    return swept


def _is_past_the_last(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag > _LAST


def _uid(dataset: Dataset, keyword: str) -> str:
    value = _raw(dataset, keyword).decode("ascii", "replace")
    if not _clean(value):
        raise FailedForGood("uid_missing", keyword)
    uid = canonical_uid(value)
    if uid is None:
        raise FailedForGood("uid_invalid", keyword)
    return uid


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
