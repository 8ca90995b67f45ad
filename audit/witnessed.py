"""Audit events as an outside witness is told of them: with the study and the patient that their own rows leave out.

The patient is looked up when it is told, not when it happened: what was erased in between stays erased.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.chain import HEAD
from audit.models import AuditEvent, ChainHead, EventReader, Instance, ResultObject, Study


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    at: datetime
    kind: str
    subject: str
    actor: str
    data: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class OfStudy:
    study_instance_uid: str
    patient_id: str
    """Empty where the images named none, or it was erased."""
    issuer_of_patient_id: str
    accession_number: str


@dataclass(frozen=True, slots=True)
class OfObject:
    """A received image, or a result of ours."""

    sop_class_uid: str
    """Empty for a message."""
    study: OfStudy
    peer_address: str = ""
    called_ae_title: str = ""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Events in their order, and what is known of what they are about."""

    events: tuple[Event, ...]
    last_id: int
    """Of the events that were looked at, of whatever kind."""
    studies: dict[str, OfStudy]
    objects: dict[str, OfObject]


SYSLOG = "syslog"
"""The reader of events that tells the audit record repository."""


def read_place(session: Session, reader: str) -> tuple[int, int]:
    """The event that this reader has come to, and the last there is."""
    row = session.get(EventReader, reader)
    return (row.event_id if row is not None else 0), session.get_one(ChainHead, HEAD).event_id


def read_witnessed(session: Session, after_id: int, kinds: Collection[str], limit: int) -> Witnessed:
    """The events of these kinds among the next ``limit`` events.

    Ids run in the order of commits (``audit.chain``), so none that is committed later comes before ``last_id``.
    """
    rows = session.scalars(
        select(AuditEvent).where(AuditEvent.id > after_id).order_by(AuditEvent.id).limit(limit)
    ).all()
    events = tuple(
        Event(row.id, row.at, row.kind, row.subject, row.actor, row.data, row.hash) for row in rows if row.kind in kinds
    )
    uids = {event.subject for event in events} | {uid for event in events for uid in event.data.get("studies", ())}
    return Witnessed(events, rows[-1].id if rows else after_id, _studies(session, uids), _objects(session, uids))


def _studies(session: Session, uids: Collection[str]) -> dict[str, OfStudy]:
    rows = session.scalars(select(Study).where(Study.study_instance_uid.in_(uids)))
    return {row.study_instance_uid: _of(row) for row in rows}


def _objects(session: Session, uids: Collection[str]) -> dict[str, OfObject]:
    found = {}
    for result, study in session.execute(
        select(ResultObject, Study).join(ResultObject.study).where(ResultObject.sop_instance_uid.in_(uids))
    ):
        found[result.sop_instance_uid] = OfObject(result.sop_class_uid, _of(study))
    for image, study in session.execute(
        select(Instance, Study).join(Instance.study).where(Instance.sop_instance_uid.in_(uids))
    ):
        found[image.sop_instance_uid] = OfObject(
            image.sop_class_uid, _of(study), image.peer_address, image.called_ae_title
        )
    return found


def _of(study: Study) -> OfStudy:
    return OfStudy(study.study_instance_uid, study.patient_id, study.issuer_of_patient_id, study.accession_number)
