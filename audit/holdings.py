"""What we hold and give back: images as received, and the result objects made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from audit.models import Instance, ResultObject, Study, Upload

RESULT_MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.7": "OT",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.88.33": "SR",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34": "SR",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.11.1": "PR",  # Grayscale Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.104.1": "DOC",  # Encapsulated PDF
    "1.2.840.10008.5.1.4.1.1.88.59": "KO",  # Key Object Selection Document
}
"""SOP class of a result object to its Modality (PS3.3 C.7.3.1.1.1)."""

_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"  # every result object, by dicom.envelope
_STUDIES_AT_ONCE = 200  # bound parameters of one statement


@dataclass(frozen=True, slots=True)
class HeldInstance:
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    spool_name: str


@dataclass(frozen=True, slots=True)
class HeldStudy:
    study_instance_uid: str
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_date: str = field(repr=False)
    instances: tuple[HeldInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyKeys:
    """All that are given must match. Texts may have the wild cards ``*`` and ``?`` (PS3.4 C.2.2.2.4)."""

    study_instance_uids: tuple[str, ...] = ()
    patient_id: str = field(default="", repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    first_date: str = ""
    """YYYYMMDD, inclusive, as is the last."""
    last_date: str = ""
    modalities: tuple[str, ...] = ()
    """One of these is in the study."""


def matches(value: str, pattern: str) -> bool:
    """Wild card matching, sensitive to case."""
    parts = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def find_studies(session: Session, keys: StudyKeys, *, most_studies: int, most_instances: int) -> list[HeldStudy]:
    """The newest first; one study or instance beyond the most there may be shows that there are more."""
    rows = session.scalars(
        select(Study).where(*_conditions(session, keys)).order_by(Study.id.desc()).limit(most_studies + 1)
    ).all()
    if len(rows) > most_studies:
        return [_held(row) for row in rows]
    studies = {row.id: _held(row) for row in rows}
    of_study: dict[int, list[HeldInstance]] = {row.id: [] for row in rows}
    rest = most_instances + 1
    ids = list(studies)
    for start in range(0, len(ids), _STUDIES_AT_ONCE):
        for study_id, instance in _instances(session, studies, ids[start : start + _STUDIES_AT_ONCE], rest):
            of_study[study_id].append(instance)
            rest -= 1
    return [replace(study, instances=tuple(of_study[study_id])) for study_id, study in studies.items()]


def _held(row: Study) -> HeldStudy:
    return HeldStudy(
        row.study_instance_uid, row.patient_id, row.issuer_of_patient_id, row.accession_number, row.study_date
    )


def _instances(
    session: Session, studies: dict[int, HeldStudy], ids: Sequence[int], most: int
) -> Iterator[tuple[int, HeldInstance]]:
    images = session.scalars(
        select(Instance)
        .where(Instance.study_id.in_(ids), Instance.spool_name != "")  # erased ones have no file
        .order_by(Instance.id)
        .limit(max(most, 0))
    ).all()
    for image in images:
        yield (
            image.study_id,
            HeldInstance(
                studies[image.study_id].study_instance_uid,
                image.series_instance_uid,
                image.sop_instance_uid,
                image.sop_class_uid,
                image.transfer_syntax_uid,
                image.modality,
                image.spool_name,
            ),
        )
    results = session.scalars(
        select(ResultObject)
        .where(
            ResultObject.study_id.in_(ids),
            ResultObject.sop_class_uid.in_(RESULT_MODALITIES),
            ResultObject.spool_name != "",
        )
        .order_by(ResultObject.id)
        .limit(max(most - len(images), 0))
    )
    for result in results:
        yield (
            result.study_id,
            HeldInstance(
                studies[result.study_id].study_instance_uid,
                result.series_instance_uid,
                result.sop_instance_uid,
                result.sop_class_uid,
                _EXPLICIT_VR_LITTLE_ENDIAN,
                RESULT_MODALITIES[result.sop_class_uid],
                result.spool_name,
            ),
        )


def _conditions(session: Session, keys: StudyKeys) -> Iterator[ColumnElement[bool]]:
    yield Study.erased_at.is_(None)
    # Nobody sent an upload by DICOM, and nobody gets it by DICOM.
    yield ~select(Upload.id).join(Upload.instance).where(Instance.study_id == Study.id).exists()
    if keys.study_instance_uids:
        yield Study.study_instance_uid.in_(keys.study_instance_uids)
    for column, pattern in (
        (Study.patient_id, keys.patient_id),
        (Study.issuer_of_patient_id, keys.issuer_of_patient_id),
        (Study.accession_number, keys.accession_number),
    ):
        if pattern:
            yield _like(session, column, pattern)
    if keys.first_date:
        yield Study.study_date >= keys.first_date
    if keys.last_date:
        yield Study.study_date <= keys.last_date
        yield Study.study_date != ""
    if keys.modalities:
        of_results = [
            uid
            for uid, modality in RESULT_MODALITIES.items()
            if any(matches(modality, each) for each in keys.modalities)
        ]
        yield or_(
            select(Instance.id)
            .where(
                Instance.study_id == Study.id,
                or_(*(_like(session, Instance.modality, pattern) for pattern in keys.modalities)),
            )
            .exists(),
            select(ResultObject.id)
            .where(ResultObject.study_id == Study.id, ResultObject.sop_class_uid.in_(of_results))
            .exists(),
        )


def _like(session: Session, column: InstrumentedAttribute[str], pattern: str) -> ColumnElement[bool]:
    if "*" not in pattern and "?" not in pattern:
        return column == pattern
    if session.get_bind().dialect.name == "sqlite":  # whose LIKE ignores the case of letters
        return column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    escaped = re.sub(r"([%_\\])", r"\\\1", pattern).replace("*", "%").replace("?", "_")
    return column.like(escaped, escape="\\")
