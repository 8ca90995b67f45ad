"""Looks for what calls for a person (``audit.alerts``) in the books."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from audit.alerts import AlertCode, Condition
from audit.comparison import Status
from audit.deliveries import is_dead_letter
from audit.drift import DriftReport
from audit.figures import heartbeat_ages
from audit.models import AuditEvent, Delivery, Instance, Job, JobState, Prediction, Role, Source, now
from audit.witnessed import read_place
from core.audit_settings import AlertSettings
from core.records import DeliveryState, Outcome

_DAY = timedelta(days=1)
CHAIN_VERDICTS = ("chain.verified", "chain.broken")


@dataclass(frozen=True, slots=True)
class Watched:
    """What is not in the books."""

    queues: tuple[str, ...]
    """That should have a worker."""
    heartbeat_seconds: float
    """A queue without a sign of life for this long is silent."""
    free_bytes: int | None
    """Of the spool; None where there is no limit."""
    reserve_bytes: int
    witnesses: dict[str, float]
    """Readers of events that are to tell somebody outside, and how many seconds they may take."""


def find_conditions(session: Session, settings: AlertSettings, watched: Watched) -> list[Condition]:
    """Everything but drift, which takes longer: see ``drift_conditions``."""
    at = now()
    return [
        *_waiting_images(session, at, settings),
        *_deliveries(session, at, settings),
        *_outcomes(session, at, settings),
        *_silent_workers(session, watched),
        *_disk(watched),
        *_chain(session),
        *_witnesses(session, at, watched),
    ]


def drift_conditions(report: DriftReport | None) -> list[Condition]:
    return [
        Condition(AlertCode.DRIFT, found.source, "; ".join(warning.line for warning in found.comparison.warnings) + ".")
        for found in (report.sources if report else ())
        if found.comparison.status is Status.DRIFT
    ]


def _waiting_images(session: Session, at: datetime, settings: AlertSettings) -> Iterator[Condition]:
    since = at - timedelta(seconds=settings.unanalysed_seconds)
    statement = select(func.count(), func.min(Job.created_at)).where(
        Job.state == JobState.PENDING, Job.created_at < since
    )
    count, oldest = session.execute(statement).one()
    if count:
        yield Condition(
            AlertCode.IMAGE_WAITING, "",
            f"{_number(count, 'image')} without an outcome for more than {_span(settings.unanalysed_seconds)}, "
            f"the oldest for {_span((at - oldest).total_seconds())}.",
        )  # fmt: skip


def _deliveries(session: Session, at: datetime, settings: AlertSettings) -> Iterator[Condition]:
    since = at - timedelta(seconds=settings.undelivered_seconds)
    waiting = (Delivery.state == DeliveryState.PENDING, Delivery.first_due_at < since, Delivery.attempts > 0)
    for destination, count, oldest, error in session.execute(
        _by_destination(func.min(Delivery.first_due_at), func.max(Delivery.last_error)).where(*waiting)
    ):
        yield Condition(
            AlertCode.PACS_DOWN, destination,
            f"{_number(count, 'result')} could not be sent, the oldest for {_span((at - oldest).total_seconds())}"
            + (f" (last: {error})." if error else "."),
        )  # fmt: skip
    for destination, count in session.execute(_by_destination().where(is_dead_letter())):
        words = f"{_number(count, 'result')} given up; requeue once the cause is mended."
        yield Condition(AlertCode.DEAD_LETTERS, destination, words)
    last_week = Delivery.sent_at > at - 7 * _DAY
    unconfirmed = (Delivery.state == DeliveryState.SENT, Delivery.last_error == "unconfirmed", last_week)
    for destination, count in session.execute(_by_destination().where(*unconfirmed)):
        words = f"{_number(count, 'result')} of the last week sent and never confirmed."
        yield Condition(AlertCode.UNCONFIRMED, destination, words)


def _by_destination(*columns: ColumnElement[Any]) -> Select[Any]:
    """Destination, count and these."""
    return select(Delivery.destination, func.count(), *columns).group_by(Delivery.destination)


def _outcomes(session: Session, at: datetime, settings: AlertSettings) -> Iterator[Condition]:
    def ended(outcome: Outcome) -> ColumnElement[int]:
        return func.sum(case((Prediction.outcome == outcome, 1), else_=0))

    statement = (
        select(Source.name, func.count(), ended(Outcome.NOT_ANALYSED), ended(Outcome.FAILED))
        .select_from(Prediction)
        .join(Prediction.instance)
        .join(Instance.source)
        .where(Prediction.created_at >= at - _DAY, Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None))
        .group_by(Source.name)
    )
    for source, count, not_analysed, given_up in session.execute(statement):
        if count >= settings.not_analysed_minimum and not_analysed / count >= settings.not_analysed_share:
            yield Condition(
                AlertCode.REFUSAL_RATE, source,
                f"{not_analysed} of {count} images of the last day were not analysed ({not_analysed / count:.0%}).",
            )  # fmt: skip
        if given_up:
            yield Condition(
                AlertCode.FAILED_IMAGES, source, f"The analysis of {_number(given_up, 'image')} of the last day failed."
            )


def _silent_workers(session: Session, watched: Watched) -> Iterator[Condition]:
    ages = heartbeat_ages(session)
    for queue in watched.queues:
        age = ages.get(queue)
        if age is None:
            yield Condition(AlertCode.WORKER_SILENT, queue, "No worker has ever served this queue.")
        elif age > watched.heartbeat_seconds:
            yield Condition(
                AlertCode.WORKER_SILENT, queue, f"No worker has served this queue for more than {_span(age)}."
            )


def _disk(watched: Watched) -> Iterator[Condition]:
    if watched.free_bytes is not None and watched.free_bytes < 2 * watched.reserve_bytes:
        yield Condition(
            AlertCode.DISK_LOW, "spool",
            f"{watched.free_bytes / 1024**3:.1f} GiB are free; below {watched.reserve_bytes / 1024**3:.1f} GiB images "
            "are refused.",
        )  # fmt: skip


def _chain(session: Session) -> Iterator[Condition]:
    last = session.scalar(
        select(AuditEvent).where(AuditEvent.kind.in_(CHAIN_VERDICTS)).order_by(AuditEvent.id.desc()).limit(1)
    )
    if last is not None and last.kind == "chain.broken":
        yield Condition(
            AlertCode.CHAIN_BROKEN, "", "The audit events have been tampered with: `pneumo audit verify` says where."
        )


def _witnesses(session: Session, at: datetime, watched: Watched) -> Iterator[Condition]:
    for reader, seconds in watched.witnesses.items():
        place, _ = read_place(session, reader)
        untold = session.scalar(select(AuditEvent.at).where(AuditEvent.id > place).order_by(AuditEvent.id).limit(1))
        if untold is not None and (age := (at - untold).total_seconds()) > seconds:
            yield Condition(AlertCode.WITNESS_BEHIND, reader, f"It was told of no audit event for {_span(age)}.")


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _span(seconds: float) -> str:
    """Rough, so that the wording does not change at each look."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _number(int(seconds // size), unit)
    return _number(int(seconds), "second")
