"""Which images are meant: by patient, by any UID, by source, by when they came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Select, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from audit.listing import Search
from audit.models import Instance, Prediction, ResultObject, Source, Study, Upload

_image = aliased(Instance, name="image")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """All that are given must hold; None means any. ``..._from`` is inside its range, ``..._before`` is not."""

    patient_id: str | None = None
    """Of the image as received, which may differ from the patient its study was first seen under."""
    issuer_of_patient_id: str | None = None
    accession_number: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    """Of an image, of a DICOM file that was uploaded, or of a result about an image or a study."""
    source: str | None = None
    received_from: datetime | None = None
    received_before: datetime | None = None
    uploaded: bool | None = None
    """Given to the prediction service."""

    def narrow(self, session: Session, search: Search, instance_id: InstrumentedAttribute[int]) -> None:
        """Conditions on whatever has the key of an image."""
        if any(getattr(self, each.name) is not None for each in fields(ImageFilter) if each.name != "uploaded"):
            found = select(_image.id).where(*self._of_the_image(session))
            # Whoever names a patient, an examination or an image means few; nobody has to count them.
            search.among(instance_id, found, few=True if self._names_something() else None)
        if self.uploaded is not None:
            if self.uploaded:
                search.among(instance_id, select(Upload.instance_id))
            else:
                search.where(~_is_upload(instance_id))

    def _names_something(self) -> bool:
        named = (self.patient_id, self.accession_number, self.study_instance_uid)
        return any(value is not None for value in (*named, self.series_instance_uid, self.sop_instance_uid))

    def _of_the_image(self, session: Session) -> Iterator[ColumnElement[bool]]:
        for column, value in (
            (_image.patient_id, self.patient_id),
            (_image.issuer_of_patient_id, self.issuer_of_patient_id),
            (_image.series_instance_uid, self.series_instance_uid),
        ):
            if value is not None:
                yield column == value
        for column, value in (
            (Study.accession_number, self.accession_number),
            (Study.study_instance_uid, self.study_instance_uid),
        ):
            if value is not None:
                yield _image.study_id.in_(select(Study.id).where(column == value))
        if self.sop_instance_uid is not None:
            yield _known_as(session, self.sop_instance_uid)
        if self.source is not None:
            known = session.scalar(select(Source.id).where(Source.name == self.source))
            yield false() if known is None else _image.source_id == known
        if self.received_from is not None:
            yield _image.received_at >= self.received_from
        if self.received_before is not None:
            yield _image.received_at < self.received_before


def _is_upload(instance_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    return select(Upload.id).where(Upload.instance_id == instance_id).correlate(instance_id.table).exists()


def _known_as(session: Session, sop_instance_uid: str) -> ColumnElement[bool]:
    """The image itself, uploads of it, and what a result of ours is about."""
    ids = set(session.scalars(_of_this_uid(sop_instance_uid)))
    about = session.execute(
        select(ResultObject.study_id, ResultObject.prediction_id).where(
            ResultObject.sop_instance_uid == sop_instance_uid
        )
    ).one_or_none()
    if about is None:
        return _image.id.in_(ids)
    if about.prediction_id is None:
        return _image.study_id.in_([about.study_id])
    return or_(
        _image.id.in_(ids),
        _image.id.in_(select(Prediction.instance_id).where(Prediction.id == about.prediction_id)),
    )


def _of_this_uid(sop_instance_uid: str) -> Select[int]:
    received = select(Instance.id).where(Instance.sop_instance_uid == sop_instance_uid)
    uploaded = select(Upload.instance_id).where(Upload.original_sop_instance_uid == sop_instance_uid)
    both = received.union(uploaded).subquery()
    return select(both.c[0])
