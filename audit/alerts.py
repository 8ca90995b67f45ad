"""What calls for a person: opened when it is first seen, closed when it is over, acknowledged in between.

An alert is one row for as long as it lasts. Several processes may look at once: the open alert of a code and a subject
is unique in the database, and whoever opens or closes it writes the event.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.models import Alert, now


class AlertCode(StrEnum):
    IMAGE_WAITING = "image_waiting"
    """An image has waited too long for its outcome."""
    PACS_DOWN = "pacs_down"
    """A destination has taken nothing for too long while something waits for it."""
    DEAD_LETTERS = "dead_letters"
    """Results will not be sent again unless somebody requeues them."""
    UNCONFIRMED = "unconfirmed"
    """A destination took results and does not say that it has them."""
    REFUSAL_RATE = "refusal_rate"
    """Too many of a source's images may not be judged."""
    FAILED_IMAGES = "failed_images"
    DRIFT = "drift"
    DISK_LOW = "disk_low"
    WORKER_SILENT = "worker_silent"
    CHAIN_BROKEN = "chain_broken"
    """The audit events are not what they were."""
    WITNESS_BEHIND = "witness_behind"
    """An outside witness of the audit events, the syslog or the anchor file, was not told of them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now. ``detail`` is one sentence for people, without anything of a patient."""

    code: AlertCode
    subject: str
    detail: str


def settle_alerts(session: Session, conditions: Collection[Condition]) -> None:
    """Open what is new, keep the wording of what goes on up to date, close what is over."""
    at = now()
    holding = {(condition.code.value, condition.subject): condition for condition in conditions}
    open_now = {(alert.code, alert.subject): alert for alert in open_alerts(session)}
    for key, condition in holding.items():
        alert = open_now.get(key)
        if alert is None:
            _open(session, condition)
        elif alert.detail != condition.detail:
            alert.detail = condition.detail
    for key, alert in open_now.items():
        if key in holding:
            continue
        closed = update(Alert).where(Alert.id == alert.id, Alert.closed_at.is_(None)).values(closed_at=at)
        if session.scalar(closed.returning(Alert.id)) is not None:
            record_event(session, "alert.closed", subject=alert.subject, code=alert.code, alert=alert.id)


def _open(session: Session, condition: Condition) -> None:
    row = {"code": condition.code, "subject": condition.subject, "detail": condition.detail, "opened_at": now()}
    statement: Insert
    if session.get_bind().dialect.name == "postgresql":
        statement = postgresql.insert(Alert).values(row).on_conflict_do_nothing().returning(Alert.id)
    else:
        statement = sqlite.insert(Alert).values(row).on_conflict_do_nothing().returning(Alert.id)
    alert_id = session.scalar(statement)
    if alert_id is not None:  # else another process was first
        record_event(session, "alert.opened", subject=condition.subject, code=condition.code, alert=alert_id)


def open_alerts(session: Session) -> list[Alert]:
    """Oldest first."""
    return list(session.scalars(select(Alert).where(Alert.closed_at.is_(None)).order_by(Alert.id)))


def find_alerts(session: Session, *, limit: int, before_id: int | None = None) -> list[Alert]:
    """Newest first, those that are over as well."""
    statement = select(Alert).order_by(Alert.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(Alert.id < before_id)
    return list(session.scalars(statement))


def acknowledge(session: Session, alert_id: int, actor: str, note: str) -> Alert | None:
    """Say that somebody knows; a later word stands in place of an earlier. None where there is no such alert."""
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        return None
    alert.acknowledged_at, alert.acknowledged_by, alert.note = now(), actor, note
    record_event(session, "alert.acknowledged", subject=alert.subject, actor=actor, code=alert.code, alert=alert.id)
    return alert
