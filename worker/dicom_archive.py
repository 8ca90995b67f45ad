"""An archive by C-FIND and C-MOVE or C-GET, in the Study Root information model (PS3.4 C.6.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import cast

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from core.destinations import DICOMArchive
from core.errors import FailedForGood, RetryLater
from core.transfer_syntaxes import READABLE
from worker.archive import (
    MOST_MATCHES,
    MOST_OBJECTS,
    Arrived,
    FoundSeries,
    FoundStudies,
    Retrieved,
    Store,
    Studies,
    is_stored,
    series_of,
)
from worker.archive_association import open_association, text_of

# PS3.4 C.6.2.3: Study Root Query/Retrieve Information Model
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_SERIES_KEYS = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")

# PS3.4 C.4.1.1.4, C.4.2.1.5, C.4.3.1.4
_SUCCESS, _SOME_FAILED, _NONE_COULD_BE_SENT = 0x0000, 0xB000, 0xA702
_PENDING = (0xFF00, 0xFF01)
_ARCHIVE_TROUBLE = {
    0xA700: "out_of_resources",
    0xA701: "out_of_resources",
    _NONE_COULD_BE_SENT: "sub_operations_impossible",
    0xA801: "move_destination_unknown",
    0x0122: "not_supported",
    0x0124: "not_authorised",
}
_OUT_OF_RESOURCES = 0xA700


_Answer = tuple[Dataset, Dataset | None]


class _Querying:
    def __init__(self, archive: DICOMArchive, calling_ae_title: str) -> None:
        self._archive, self._calling_ae_title = archive, calling_ae_title

    def find_studies(self, day: date, modalities: tuple[str, ...]) -> FoundStudies:
        studies = Studies()
        with self._finding() as association:
            for modality in modalities:  # only UIDs may be matched by a list (PS3.4 C.2.2.2.2)
                query = _identifier("STUDY", StudyDate=f"{day:%Y%m%d}", ModalitiesInStudy=modality)
                query.StudyInstanceUID = query.StudyTime = ""
                for match in _matches(association, query):
                    studies.add(text_of(match, "StudyInstanceUID"), text_of(match, "StudyTime"))
        return studies.found()

    def find_series(self, study_instance_uid: str, modalities: tuple[str, ...]) -> list[FoundSeries]:
        query = _identifier("SERIES", StudyInstanceUID=study_instance_uid)
        for keyword in _SERIES_KEYS:
            setattr(query, keyword, None)
        with self._finding() as association:
            matches = [{key: text_of(match, key) for key in _SERIES_KEYS} for match in _matches(association, query)]
            found = [series for series in map(series_of, matches) if series is not None]
            return [
                replace(series, images=_count_images(association, study_instance_uid, series.series_instance_uid))
                if series.images is None and series.modality in modalities
                else series
                for series in found
            ]

    def _finding(self) -> AbstractContextManager[Association]:
        return open_association(self._archive, self._calling_ae_title, [(_FIND, None)])


class MovingArchive(_Querying):
    """C-MOVE: the images come to the application entity that ``destination`` names, which the archive must know."""

    def __init__(self, archive: DICOMArchive, calling_ae_title: str, destination: str) -> None:
        super().__init__(archive, calling_ae_title)
        self._destination = destination

    def retrieve(self, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        query = _identifier("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=series_instance_uid)
        with open_association(self._archive, self._calling_ae_title, [(_MOVE, None)]) as association:
            retrieved = _outcome(
                _asked(lambda: association.send_c_move(query, self._destination, _MOVE)), counted=(_SOME_FAILED,)
            )
        if retrieved.failed and retrieved.completed == 0:
            # Mostly a listener that does not run, or does not know the archive: not a property of the study.
            raise RetryLater("no_image_was_taken")
        return retrieved


class GettingArchive(_Querying):
    """C-GET: the images come on the association that asks, into ``folder``, and are handed to ``store``."""

    def __init__(
        self,
        archive: DICOMArchive,
        calling_ae_title: str,
        *,
        storage_classes: tuple[str, ...],
        folder: Path,
        store: Store,
    ) -> None:
        super().__init__(archive, calling_ae_title)
        self._storage_classes, self._folder, self._store = storage_classes, folder, store

    def retrieve(self, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        query = _identifier("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=series_instance_uid)
        statuses: list[int] = []

        def on_store(event: Event) -> int:
            request = cast("C_STORE", event.request)
            if len(statuses) >= MOST_OBJECTS or event.dataset_path is None:
                return _OUT_OF_RESOURCES
            statuses.append(
                self._store(
                    Arrived(
                        path=event.dataset_path,
                        sop_class_uid=str(request.AffectedSOPClassUID),
                        sop_instance_uid=str(request.AffectedSOPInstanceUID),
                        transfer_syntax_uid=str(event.context.transfer_syntax),
                    )
                )
            )
            return statuses[-1]

        # A context for each syntax, so that the archive sends what it has and transcodes nothing.
        contexts: list[tuple[str, str | None]] = [(_GET, None)]
        contexts += [(each, syntax) for each in self._storage_classes for syntax in READABLE]
        with open_association(
            self._archive,
            self._calling_ae_title,
            contexts,
            on_store=on_store,
            storage_classes=self._storage_classes,
            folder=self._folder,
        ) as association:
            answered = _outcome(
                _asked(lambda: association.send_c_get(query, _GET)), counted=(_SOME_FAILED, _NONE_COULD_BE_SENT)
            )
        completed = sum(map(is_stored, statuses))
        return Retrieved(completed, max(answered.failed, len(statuses) - completed))


def _identifier(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _matches(association: Association, query: Dataset) -> Iterator[Dataset]:
    """Raises RetryLater or FailedForGood where the query does not end with success."""
    for count, (answer, match) in enumerate(_asked(lambda: association.send_c_find(query, _FIND))):
        status = answer.get("Status")
        if status not in _PENDING:
            _check(status)
            return
        if count >= MOST_MATCHES:
            raise FailedForGood("too_many_matches", f"more than {MOST_MATCHES}")
        yield Dataset() if match is None else match


def _count_images(association: Association, study_instance_uid: str, series_instance_uid: str) -> int:
    """For archives without the optional Number of Series Related Instances (PS3.4 C.3.4)."""
    query = _identifier("IMAGE", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=series_instance_uid)
    query.SOPInstanceUID = ""
    return len({text_of(match, "SOPInstanceUID") for match in _matches(association, query)})


def _asked(ask: Callable[[], Iterator[_Answer]]) -> Iterator[_Answer]:
    try:
        return ask()
    except RuntimeError as exc:
        raise RetryLater("association_lost") from exc
    except ValueError as exc:  # pynetdicom's way to say that no presentation context for this was accepted
        raise RetryLater("no_accepted_context") from exc


def _outcome(answers: Iterator[_Answer], *, counted: tuple[int, ...]) -> Retrieved:
    """The counts of the last answer that had any; an archive may leave them out (PS3.7 9.1.4.1.7).

    ``counted``: final statuses other than success of which the counts say enough, if they count a failure.
    """
    completed: int | None = None
    failed = 0
    status: int | None = None
    for answer, _ in answers:
        status = answer.get("Status")
        if "NumberOfCompletedSuboperations" in answer:
            warned = int(answer.get("NumberOfWarningSuboperations") or 0)
            completed = int(answer.NumberOfCompletedSuboperations or 0) + warned
            failed = int(answer.get("NumberOfFailedSuboperations") or 0)
    if not failed or status not in counted:
        _check(status)
    return Retrieved(completed, failed)


def _check(status: int | None) -> None:
    """Raises unless the archive has answered with success."""
    if status is None:
        raise RetryLater("no_answer")
    if status in _ARCHIVE_TROUBLE:
        raise RetryLater(_ARCHIVE_TROUBLE[status], f"status 0x{status:04X}")
    if status != _SUCCESS:
        raise FailedForGood(f"status_{status:04x}")
