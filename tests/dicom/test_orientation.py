from __future__ import annotations

import pytest

from dicom.envelope import write
from dicom.orientation import left_side
from tests.dicom.sources import clean_dx, reread, with_raw


@pytest.mark.parametrize(
    ("stored", "side"),
    [
        (b"L\\F", "R"),  # as a frontal film hangs
        (b"R\\F", "L"),  # mirrored
        (b"LF\\FR", "R"),  # askew
        (b"F\\R", "H"),  # on its side
        (b"L", ""),
        (b"", ""),
        (b"LEFT\\FOOT", ""),
        (b"LE\\V", ""),  # quadrupeds have other letters
        (b"\\F", ""),
    ],
)
def test_the_left_edge_shows_the_side_that_rows_come_from(stored: bytes, side: str) -> None:
    header = with_raw(reread(write(clean_dx())), PatientOrientation=stored)
    assert left_side(header) == side
