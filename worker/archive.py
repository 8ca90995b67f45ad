"""What pulling asks of an archive, whichever way it is spoken to.

An archive's answers are a stranger's: what carries no valid UID is skipped and counted; nothing is read without end.
``RetryLater`` means the archive as a whole could not serve us, ``FailedForGood`` that this question has its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from core.errors import FailedForGood
from core.transfer_syntaxes import READABLE

MOST_MATCHES = 20_000
"""Of one query. A hospital takes some hundreds of chest radiographs a day."""
MOST_OBJECTS = 10_000
"""Of one retrieved series."""
MOST_OBJECT_BYTES = 1024**3

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 9.1


@dataclass(frozen=True, slots=True)
class FoundStudies:
    """Study Instance UIDs in the order of their time, and how many matches were none."""

    uids: tuple[str, ...]
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class FoundSeries:
    series_instance_uid: str
    modality: str
    images: int | None
    """Number of Series Related Instances; None where the archive does not say."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A data set in a file with preamble and file meta information, as whoever sent it announced it."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


Store = Callable[[Arrived], int]
"""Takes the file over, and answers with a status of C-STORE (PS3.4 B.2.3)."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    completed: int | None
    """Images that came; None where the archive does not say."""
    failed: int


class Archive(Protocol):
    def find_studies(self, day: date, modalities: tuple[str, ...]) -> FoundStudies:
        """Studies of a Study Date with any of the modalities in them."""

    def find_series(self, study_instance_uid: str, modalities: tuple[str, ...]) -> list[FoundSeries]:
        """All series of the study; how many images there are is of interest in these modalities only."""

    def retrieve(self, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        """Returns when the archive is done with the series."""


class Studies:
    """Gathers the matches of queries for studies, each study once."""

    def __init__(self) -> None:
        self._times: dict[str, str] = {}
        self._malformed = 0

    def add(self, study_instance_uid: str, study_time: str) -> None:
        """Raises FailedForGood (``too_many_matches``)."""
        if not is_uid(study_instance_uid):
            self._malformed += 1
            return
        self._times.setdefault(study_instance_uid, study_time[:16])
        if len(self._times) + self._malformed > MOST_MATCHES:
            raise FailedForGood("too_many_matches", f"more than {MOST_MATCHES} studies on one day")

    def found(self) -> FoundStudies:
        return FoundStudies(tuple(sorted(self._times, key=lambda uid: (self._times[uid], uid))), self._malformed)


def series_of(values: dict[str, str]) -> FoundSeries | None:
    """From the texts of a match by keyword; None where it is none."""
    uid, images = values["SeriesInstanceUID"], values["NumberOfSeriesRelatedInstances"]
    if not is_uid(uid):
        return None
    return FoundSeries(uid, values["Modality"][:16], int(images) if re.fullmatch(r"[0-9]{1,9}", images) else None)


def is_uid(value: str) -> bool:
    return len(value) <= 64 and _UID.fullmatch(value) is not None


def is_stored(status: int) -> bool:
    # PS3.4 B.2.3: success, or one of the warnings 0xBxxx
    return status == 0x0000 or status >> 12 == 0xB


def is_readable(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid in READABLE
