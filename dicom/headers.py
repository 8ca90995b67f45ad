"""Reading attributes of data sets as they really arrive, and rewriting those that results inherit.

The readers never raise: an attribute that is missing, of another VR, multi-valued where one value is allowed or not
decodable reads as absent. What an absent attribute means is decided where it is used.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
import warnings
from collections.abc import Iterator, Sequence

from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue

# What pydicom raises for values that break their VR.
MALFORMED = (
    ArithmeticError, AttributeError, BytesLengthException, EOFError, LookupError, NotImplementedError, RecursionError,
    TypeError, ValueError, struct.error,
)  # fmt: skip

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 9.1
_DATE = re.compile(r"(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
_AGE = re.compile(r"[0-9]{3}[DWMY]")
_UTF_8 = "ISO_IR 192"
_ASCII = ("", "ISO_IR 6", "ISO 2022 IR 6")  # PS3.3 C.12.1.1.2: the default repertoire


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Odd values are our daily bread, and pydicom's warnings about them may quote a patient's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def values(dataset: Dataset, keyword: str) -> tuple[object, ...]:
    """Every value of the attribute, empty ones left out."""
    try:
        with quietly():
            value = dataset.get(keyword)
    except MALFORMED:
        return ()
    several = list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]
    return tuple(item for item in several if item is not None and item != "")


def text(dataset: Dataset, keyword: str) -> str:
    """The one value as text without padding, or ``""``."""
    found = values(dataset, keyword)
    if len(found) != 1 or isinstance(found[0], (bytes, Dataset)):
        return ""
    return str(found[0]).strip(" \0")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value as a finite number, or ``()`` when one of them is none."""
    try:
        found = tuple(float(value) for value in values(dataset, keyword))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if all(math.isfinite(number) for number in found) else ()


def integer(dataset: Dataset, keyword: str, default: int) -> int:
    found = numbers(dataset, keyword)
    return int(found[0]) if len(found) == 1 else default


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, or ``[]``."""
    try:
        with quietly():
            return [item for item in dataset.get(keyword) or [] if isinstance(item, Dataset)]
    except MALFORMED:
        return []


def canonical_uid(value: str) -> str | None:
    """The UID without padding, or None when it is none (PS3.5 9.1: at most 64 characters, no leading zeros)."""
    uid = value.strip(" \0")
    return uid if len(uid) <= 64 and _UID.fullmatch(uid) else None


def inherited(source: Dataset, own_texts: Sequence[str]) -> Dataset:
    """The patient and study attributes a result takes from its source, each equal to the source's where that is legal.

    Type 2 attributes that are missing or illegal become empty, Type 3 ones are left out. An illegal Patient ID is not
    repaired: a repaired one might be somebody else's. ``own_texts`` are written into the same object; the source's
    character set is kept when it can hold all of it, and is UTF-8 otherwise.
    """
    result = Dataset()
    # PS3.3 C.7.1.1, C.7.2.1: Type 2
    result.PatientName = _person_name(source, "PatientName")
    result.PatientID = long_string(source, "PatientID")
    result.PatientBirthDate = _matching(source, "PatientBirthDate", _DATE)
    result.PatientSex = _matching(source, "PatientSex", re.compile("[MFO]"))
    result.StudyDate = _matching(source, "StudyDate", _DATE)
    result.StudyTime = _matching(source, "StudyTime", _TIME)
    result.ReferringPhysicianName = _person_name(source, "ReferringPhysicianName")
    result.StudyID = long_string(source, "StudyID", 16)
    result.AccessionNumber = long_string(source, "AccessionNumber", 16)
    # Type 3
    for keyword, value in (
        ("IssuerOfPatientID", long_string(source, "IssuerOfPatientID")),
        ("StudyDescription", long_string(source, "StudyDescription")),
        ("PatientAge", _matching(source, "PatientAge", _AGE)),
    ):
        if value:
            setattr(result, keyword, value)
    result.StudyInstanceUID = canonical_uid(text(source, "StudyInstanceUID")) or ""
    texts = [str(element.value) for element in result if element.VR in ("LO", "PN", "SH")]
    if character_set := _character_set(source, [*texts, *own_texts]):
        result.SpecificCharacterSet = character_set
    return result


def long_string(source: Dataset, keyword: str, longest: int = 64) -> str:
    """The value of a LO or SH as it is, or ``""`` where it is too long or not printable."""
    value = text(source, keyword)
    return value if len(value) <= longest and _printable(value) else ""


def _person_name(source: Dataset, keyword: str) -> str:
    """PS3.5 6.2: up to three groups of up to five components, 64 characters a group."""
    value = text(source, keyword)
    without_empty_components = "=".join(group.rstrip("^ ") for group in value.split("="))
    return next((name for name in (value, without_empty_components) if _is_person_name(name)), "")


def _is_person_name(value: str) -> bool:
    groups = value.split("=")
    return (
        _printable(value) and len(groups) <= 3 and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
    )


def _matching(source: Dataset, keyword: str, pattern: re.Pattern[str]) -> str:
    value = text(source, keyword)
    return value if pattern.fullmatch(value) else ""


def _printable(value: str) -> bool:
    # A backslash would split the value; U+FFFD and lone surrogates stand for bytes that could not be decoded.
    return not any(ord(letter) < 32 or letter in "\\\x7f\ufffd" or "\ud800" <= letter <= "\udfff" for letter in value)


def _character_set(source: Dataset, texts: Sequence[str]) -> list[str]:
    """The source's defined terms, UTF-8 where they do not serve, nothing where plain ASCII needs nothing."""
    named = source.get("SpecificCharacterSet") or ""
    terms = [named] if isinstance(named, str) else [str(term or "") for term in named]  # the first may be empty
    if len(terms) == 1 and terms[0] in _ASCII:
        return [] if all(each.isascii() for each in texts) else [_UTF_8]
    return terms if set(terms) <= python_encoding.keys() and _holds(terms, texts) else [_UTF_8]


def _holds(terms: list[str], texts: Sequence[str]) -> bool:
    """Whether text written in this character set reads back as it was."""
    if terms[0] in _ASCII and any("\x80" <= letter <= "\xff" for each in texts for letter in each):
        return False  # pydicom takes ASCII for Latin-1
    parts = [part for each in texts for part in re.split("[=^]", each)]  # PN components are encoded one by one
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydicom warns where it replaces a character
            encodings = convert_encodings(list(terms))
            return all(decode_bytes(encode_string(part, encodings), encodings, set()) == part for part in parts)
    except (*MALFORMED, UserWarning):
        return False
