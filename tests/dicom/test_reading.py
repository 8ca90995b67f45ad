from __future__ import annotations

import zlib
from io import BytesIO

import pytest
from pydicom import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from core.errors import FailedForGood
from dicom.envelope import write
from dicom.headers import canonical_uid
from dicom.reading import read_source
from tests.dicom.sources import as_source, clean_dx, dirty_dx, reread, with_raw

REFUSALS = ("unreadable_dicom", "unsupported_transfer_syntax", "invalid_uid")


def outcome_of(content: bytes) -> str:
    try:
        read_source(BytesIO(content))
    except FailedForGood as refused:
        return refused.code
    return "read"


def test_a_clean_file_is_read_with_its_pixels_still_encoded() -> None:
    source = as_source(clean_dx())
    assert (source.modality, source.rows, source.columns, source.number_of_frames) == ("DX", 480, 500, 1)
    assert source.sop_instance_uid == clean_dx().SOPInstanceUID
    assert source.patient_age_years == 4.0
    assert len(source.dataset.PixelData) == 480 * 500


def test_a_dirty_file_is_read() -> None:
    source = as_source(dirty_dx())
    assert source.patient_age_years is None
    assert source.modality == "CR"


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM", b"not an image" * 50, b"\0" * 132])
def test_what_is_no_dicom_file_is_unreadable(content: bytes) -> None:
    with pytest.raises(FailedForGood) as refused:
        read_source(BytesIO(content))
    assert refused.value.code in REFUSALS


def test_every_truncation_is_read_or_refused_in_our_own_words() -> None:
    content = write(clean_dx())
    for length in [*range(0, 2200, 7), len(content) // 2]:
        assert outcome_of(content[:length]) in ("read", *REFUSALS)


def test_every_flipped_byte_is_read_or_refused_in_our_own_words() -> None:
    content = write(clean_dx())
    for position in range(0, 2200, 3):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        assert outcome_of(bytes(flipped)) in ("read", *REFUSALS)


def test_deflated_is_refused_before_it_is_inflated() -> None:
    meta_and_data = write(clean_dx())
    dataset = reread(meta_and_data)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    bomb = BytesIO(write(dataset)[:360] + zlib.compress(bytes(10_000_000)))
    with pytest.raises(FailedForGood) as refused:
        read_source(bomb)
    assert refused.value.code == "unsupported_transfer_syntax"


def test_deeply_nested_sequences_are_unreadable() -> None:
    nested = b""
    for _ in range(3000):
        item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + nested + b"\xfe\xff\x0d\xe0\0\0\0\0"
        nested = b"\x40\x00\x55\x05SQ\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    dataset = clean_dx()
    del dataset.PixelData
    with pytest.raises(FailedForGood, match="unreadable_dicom"):
        read_source(BytesIO(write(dataset) + nested))


@pytest.mark.parametrize("value", [b"", b"1.2.03", b"1.2.abc", b"../../etc", b"1." + b"2" * 64, b"1.2\\1.3"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_image_without_valid_uids_fails_for_good(keyword: str, value: bytes) -> None:
    dataset = with_raw(reread(write(clean_dx())), **{keyword: value})
    file = BytesIO()
    dcmwrite(file, dataset)  # dicom.envelope.write would hold the file meta information against it
    file.seek(0)
    with pytest.raises(FailedForGood, match=f"invalid_uid: {keyword}"):
        read_source(file)


def test_uids_lose_their_padding_and_nothing_else() -> None:
    assert canonical_uid("1.2.3\0") == "1.2.3"
    assert canonical_uid("1.2.3 ") == "1.2.3"
    assert canonical_uid("1.2.3\n") is None
    assert canonical_uid("3.1") is None


@pytest.mark.parametrize(
    ("attributes", "age"),
    [
        ({"PatientAge": b"018M"}, 1.5),
        ({"PatientAge": b"3Y"}, 3.0),
        ({"PatientAge": b"026W"}, 0.5),
        ({"PatientAge": b"999Y"}, None),
        ({"PatientAge": b"", "PatientBirthDate": b"20201112"}, 5.0),
        ({"PatientAge": b"old", "PatientBirthDate": b"20260101"}, None),
        ({"PatientAge": b"", "PatientBirthDate": b"00000000"}, None),
    ],
)
def test_age_comes_from_the_stated_age_or_the_dates(attributes: dict[str, bytes], age: float | None) -> None:
    source = as_source(with_raw(reread(write(clean_dx())), **attributes))
    assert source.patient_age_years == (pytest.approx(age, abs=0.01) if age is not None else None)
