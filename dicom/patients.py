"""How old the patient was when the image was made."""

from __future__ import annotations

import re
from datetime import date, datetime

from pydicom.dataset import Dataset

from dicom.headers import text

_AGE = re.compile(r"([0-9]{1,3})([DWMY])")  # PS3.5 6.2, VR AS; senders leave out leading zeros
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_OLDEST = 130


def age_years(dataset: Dataset) -> float | None:
    """From Patient's Age, else from the birth date and the image's own date; None where neither makes sense."""
    stated = _AGE.fullmatch(text(dataset, "PatientAge").upper())
    if stated:
        return _plausible(int(stated[1]) / _PER_YEAR[stated[2]])
    born = _date(text(dataset, "PatientBirthDate"))
    made = next(
        (made for made in map(_date, (text(dataset, keyword) for keyword in _DATES_MADE)) if made is not None), None
    )
    if born is None or made is None:
        return None
    return _plausible((made - born).days / 365.25)


_DATES_MADE = ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")


def _plausible(years: float) -> float | None:
    return years if 0 <= years <= _OLDEST else None


def _date(value: str) -> date | None:
    try:
        return datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007 - VR DA has no time zone
    except ValueError:
        return None
