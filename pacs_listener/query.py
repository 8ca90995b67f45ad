"""C-FIND as SCP: which studies, series and instances are here (PS3.4 C.4.1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom.events import Event

from audit.events import record_event
from audit.holdings import HeldInstance, HeldStudy, StudyKeys, find_studies, matches
from audit.journal import Journal
from audit.session import Database
from core.errors import FailedForGood
from core.logs import describe, get_logger
from pacs_listener.admission import Peer, peer_of
from pacs_listener.identifier import Identifier, Level, read_identifier, texts, uids_of
from pacs_listener.statuses import answer

log = get_logger("listener")

MOST_MATCHES = 500
MOST_INSTANCES = 10_000

# PS3.4 Table C.4-1
_PENDING = 0xFF00
_PENDING_KEYS_NOT_SUPPORTED = 0xFF01
_CANCEL = 0xFE00
_OUT_OF_RESOURCES = 0xA700
_IDENTIFIER_DOES_NOT_MATCH = 0xA900
_UNABLE_TO_PROCESS = 0xC000
_STATUSES = {"too_many_matches": _OUT_OF_RESOURCES, "key_not_held": _UNABLE_TO_PROCESS}

_MATCHED = {
    Level.STUDY: {
        "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDate", "StudyInstanceUID", "ModalitiesInStudy",
    },
    Level.SERIES: {"SeriesInstanceUID", "Modality"},
    Level.IMAGE: {"SOPInstanceUID", "SOPClassUID"},
}  # fmt: skip
_NOT_HELD = {"PatientName", "StudyTime", "StudyID", "SeriesNumber", "InstanceNumber"}
"""Keys that every SCP has to match (PS3.4 Tables C.6-5, C.6-3, C.6-4) and that we do not keep. Ignoring one would be
answering with other people's studies: a value for one is refused."""
_OF_THE_REQUEST = {"SpecificCharacterSet", "QueryRetrieveLevel", "QueryRetrieveView", "TimezoneOffsetFromUTC"}

_DATES = re.compile(r"(?P<only>[0-9]{8})|(?P<first>[0-9]{8})?-(?P<last>[0-9]{8})?")


class Queries:
    """Called by pynetdicom in the thread of each association."""

    def __init__(self, database: Database, journal: Journal, ae_title: str) -> None:
        self._database, self._journal, self._ae_title = database, journal, ae_title

    def on_find(self, event: Event) -> Iterator[tuple[int | Dataset, Dataset | None]]:
        peer = peer_of(event)
        try:
            identifier = read_identifier(decoded(event))
            is_partly, found = self._search(identifier, peer, str(event.context.abstract_syntax))
        except FailedForGood as exc:
            status = _STATUSES.get(exc.code, _IDENTIFIER_DOES_NOT_MATCH)
            refuse(self._journal, "query.refused", exc, status, peer)
            yield answer(status, f"{exc.code}: {exc.detail}"), None
            return
        except Exception as exc:  # noqa: BLE001 - the listener outlives every query and its database
            log.error("query_failed", calling_ae_title=peer.calling_ae_title, **describe(exc))
            yield answer(_UNABLE_TO_PROCESS, "could not be answered; ask again later"), None
            return
        for match in found:
            if event.is_cancelled:
                yield _CANCEL, None
                return
            yield _PENDING_KEYS_NOT_SUPPORTED if is_partly else _PENDING, match

    def _search(self, identifier: Identifier, peer: Peer, sop_class_uid: str) -> tuple[bool, list[Dataset]]:
        """Whether keys were ignored, and the answers; the query is on record before the first of them."""
        ignored = _ignored_keys(identifier)
        keys, series = _study_keys(identifier.dataset), _LowerKeys(identifier)
        with self._database.read() as session:
            studies = find_studies(session, keys, most_studies=MOST_MATCHES, most_instances=MOST_INSTANCES)
        if len(studies) > MOST_MATCHES or sum(len(study.instances) for study in studies) > MOST_INSTANCES:
            raise FailedForGood("too_many_matches", "narrow the query")
        found = [values for study in studies for values in _entities(study, identifier.level, series)]
        if len(found) > MOST_MATCHES:
            raise FailedForGood("too_many_matches", "narrow the query")
        with self._database.write() as session:
            record_event(
                session,
                "query.answered",
                actor=peer.calling_ae_title,
                address=peer.address,
                sop_class_uid=sop_class_uid,
                level=identifier.level,
                keys=_used_keys(identifier),
                matches=len(found),
            )
        return bool(ignored), [self._answer(identifier, values) for values in found]

    def _answer(self, identifier: Identifier, values: dict[str, Any]) -> Dataset:
        """What was asked for, empty where we do not have it, and what PS3.4 C.4.1.1.3.2 asks for anyway."""
        match = Dataset()
        match.SpecificCharacterSet = "ISO_IR 192"
        for element in identifier.dataset:
            if element.keyword in _OF_THE_REQUEST or element.tag.element == 0:
                continue
            value = values.get(element.keyword, [] if element.VR == "SQ" else None)
            match[element.tag] = DataElement(element.tag, element.VR, value)
        match.QueryRetrieveLevel = identifier.level.value
        match.RetrieveAETitle, match.InstanceAvailability = self._ae_title, "ONLINE"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            if keyword in values:
                setattr(match, keyword, values[keyword])
        return match


class _LowerKeys:
    """Keys of series and instances, matched here: a study has few."""

    def __init__(self, identifier: Identifier) -> None:
        self._identifier, level = identifier, identifier.level
        self._modalities = () if level is Level.STUDY else texts(identifier.dataset, "Modality")
        self._sop_classes = uids_of(identifier.dataset, "SOPClassUID") if level is Level.IMAGE else ()

    def admit(self, instance: HeldInstance) -> bool:
        return (
            self._identifier.admits(Level.SERIES, instance.series_instance_uid)
            and self._identifier.admits(Level.IMAGE, instance.sop_instance_uid)
            and (not self._modalities or any(matches(instance.modality, each) for each in self._modalities))
            and (not self._sop_classes or instance.sop_class_uid in self._sop_classes)
        )


def refuse(journal: Journal, kind: str, exc: FailedForGood, status: int, peer: Peer) -> None:
    journal.refusal(
        kind,
        same=(exc.code, peer.calling_ae_title),
        actor=peer.calling_ae_title,
        status=f"0x{status:04X}",
        code=exc.code,
        detail=exc.detail,
    )


def decoded(event: Event) -> Dataset:
    try:
        return event.identifier
    except Exception as exc:
        # Whatever pynetdicom and pydicom trip over in a stranger's bytes has this one meaning.
        raise FailedForGood("unreadable", "identifier") from exc


def _ignored_keys(identifier: Identifier) -> list[str]:
    """Raises FailedForGood ``key_not_held`` for a key that must not be ignored."""
    matched = set().union(*(_MATCHED[level] for level in identifier.uids))
    ignored = []
    try:
        for element in identifier.dataset:
            if element.keyword in matched | _OF_THE_REQUEST or element.tag.element == 0 or _is_universal(element):
                continue
            if element.keyword in _NOT_HELD:
                raise FailedForGood("key_not_held", element.keyword)
            ignored.append(element.keyword)
    except FailedForGood:
        raise
    except Exception as exc:
        raise FailedForGood("unreadable", "identifier") from exc  # as above
    return ignored


def _used_keys(identifier: Identifier) -> list[str]:
    """The keywords of what was searched by, without the values: these are patients."""
    return sorted(
        element.keyword
        for element in identifier.dataset
        if element.keyword and element.keyword not in _OF_THE_REQUEST and not _is_universal(element)
    )


def _is_universal(element: DataElement) -> bool:
    """PS3.4 C.2.2.2.3: zero length, and for texts only wild cards."""
    if element.VR == "SQ":
        return all(_is_universal(each) for item in element.value for each in item)
    return element.is_empty or not str(element.value).strip("* \0")


def _study_keys(dataset: Dataset) -> StudyKeys:
    """Raises FailedForGood: ``several_values`` or ``date_invalid``."""
    first_date, last_date = _dates(_text(dataset, "StudyDate"))
    return StudyKeys(
        study_instance_uids=uids_of(dataset, "StudyInstanceUID"),
        patient_id=_text(dataset, "PatientID"),
        issuer_of_patient_id=_text(dataset, "IssuerOfPatientID"),
        accession_number=_text(dataset, "AccessionNumber"),
        first_date=first_date,
        last_date=last_date,
        modalities=texts(dataset, "ModalitiesInStudy"),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    values = texts(dataset, keyword)
    if len(values) > 1:
        raise FailedForGood("several_values", keyword)
    return "" if values in ((), ("*",)) else values[0]


def _dates(value: str) -> tuple[str, str]:
    """First and last, empty where the range is open (PS3.4 C.2.2.2.5)."""
    if not value:
        return "", ""
    parts = _DATES.fullmatch(value)
    if parts is None or value == "-":
        raise FailedForGood("date_invalid", "StudyDate")
    return parts["only"] or parts["first"] or "", parts["only"] or parts["last"] or ""


def _entities(study: HeldStudy, level: Level, keys: _LowerKeys) -> Iterator[dict[str, Any]]:
    """The attributes of each entity of the level that matches, with those of the levels above."""
    of_series = Counter(instance.series_instance_uid for instance in study.instances)
    values: dict[str, Any] = {
        "PatientID": study.patient_id,
        "IssuerOfPatientID": study.issuer_of_patient_id,
        "AccessionNumber": study.accession_number,
        "StudyDate": study.study_date,
        "StudyInstanceUID": study.study_instance_uid,
        "ModalitiesInStudy": sorted({instance.modality for instance in study.instances if instance.modality}),
        "SOPClassesInStudy": sorted({instance.sop_class_uid for instance in study.instances}),
        "NumberOfStudyRelatedSeries": len(of_series),
        "NumberOfStudyRelatedInstances": len(study.instances),
    }
    if level is Level.STUDY:
        yield values
        return
    admitted = [instance for instance in study.instances if keys.admit(instance)]
    if level is Level.SERIES:
        admitted = list({instance.series_instance_uid: instance for instance in admitted}.values())
    for instance in admitted:
        yield {
            **values,
            "SeriesInstanceUID": instance.series_instance_uid,
            "Modality": instance.modality,
            "NumberOfSeriesRelatedInstances": of_series[instance.series_instance_uid],
            **(_of_image(instance) if level is Level.IMAGE else {}),
        }


def _of_image(instance: HeldInstance) -> dict[str, Any]:
    return {"SOPInstanceUID": instance.sop_instance_uid, "SOPClassUID": instance.sop_class_uid}
