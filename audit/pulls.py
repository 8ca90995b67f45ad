"""Back-fills: what was asked of an archive, and what became of each study, so that a pull goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.models import Instance, Pull, PulledStudy, PullState, Study, now

_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PullQuery:
    """Study Dates from ``since`` to ``until``, both included."""

    since: date
    until: date
    modalities: tuple[str, ...]

    def _document(self) -> dict[str, Any]:
        return {"since": f"{self.since}", "until": f"{self.until}", "modalities": sorted(self.modalities)}


@dataclass(frozen=True, slots=True)
class OpenPull:
    id: int
    query: PullQuery
    listed_until: date | None
    """The last day whose studies have rows; None before the first."""
    resumed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A study to retrieve next."""

    id: int
    study_instance_uid: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Progress:
    pending: int
    done: int
    failed: int
    images: int
    failures: dict[str, int]
    """How many studies failed with each code."""


def start_pull(session: Session, archive: str, query: PullQuery, actor: str) -> OpenPull:
    """The unfinished pull of this archive with this query, or else a new one."""
    unfinished = select(Pull).where(Pull.archive == archive, Pull.finished_at.is_(None)).order_by(Pull.id.desc())
    known = next((pull for pull in session.scalars(unfinished) if _asks(pull, query)), None)
    if known is not None:
        return _opened(session, known, actor)
    pull = Pull(archive=archive, query=query._document())
    session.add(pull)
    session.flush()
    record_event(session, "pull.started", subject=str(pull.id), actor=actor, archive=archive, **query._document())
    return OpenPull(pull.id, query, None, resumed=False)


def reopen_pull(
    session: Session, archive: str, query: PullQuery | None, actor: str, *, retry_failed: bool
) -> OpenPull | None:
    """The newest pull of this archive, with this query if one is given; None where there is none.

    Only an unfinished one unless its failed studies are to be tried again.
    """
    statement = select(Pull).where(Pull.archive == archive).order_by(Pull.id.desc())
    if not retry_failed:
        statement = statement.where(Pull.finished_at.is_(None))
    pulls = session.scalars(statement)
    pull = next((each for each in pulls if query is None or _asks(each, query)), None)
    if pull is None:
        return None
    if retry_failed:
        session.execute(
            update(PulledStudy)
            .where(PulledStudy.pull_id == pull.id, PulledStudy.state == PullState.FAILED)
            .values(state=PullState.PENDING, attempts=0, finished_at=None)
        )
        pull.finished_at = None
    return _opened(session, pull, actor)


def add_day(session: Session, pull_id: int, day: date, study_instance_uids: Sequence[str]) -> int:
    """Book the studies of a day, those of days before excepted, and say how many are new."""
    pull = session.get_one(Pull, pull_id)
    known = set(
        session.scalars(
            select(PulledStudy.study_instance_uid).where(
                PulledStudy.pull_id == pull_id, PulledStudy.study_instance_uid.in_(study_instance_uids)
            )
        )
    )
    new = [uid for uid in dict.fromkeys(study_instance_uids) if uid not in known]
    session.add_all(PulledStudy(pull_id=pull_id, study_instance_uid=uid) for uid in new)
    pull.query = {**pull.query, "listed_until": f"{day}"}
    return len(new)


def next_study(session: Session, pull_id: int) -> Claim | None:
    """The oldest that waits; those that were tried before come after all others."""
    study = session.scalar(
        select(PulledStudy)
        .where(PulledStudy.pull_id == pull_id, PulledStudy.state == PullState.PENDING)
        .order_by(PulledStudy.attempts, PulledStudy.id)
        .limit(1)
    )
    return None if study is None else Claim(study.id, study.study_instance_uid, study.attempts)


def mark_done(session: Session, study_id: int, images: int) -> None:
    _end(session, study_id, PullState.DONE, images=images, last_error=None)


def mark_failed(session: Session, study_id: int, code: str, images: int = 0) -> None:
    """Repeating by itself does not help. ``images`` came in spite of it."""
    _end(session, study_id, PullState.FAILED, images=images, last_error=code)


def postpone(session: Session, study_id: int, code: str) -> bool:
    """The archive could not serve us. The third time it counts as the study's fault, and the answer is True."""
    study = session.get_one(PulledStudy, study_id)
    study.attempts += 1
    study.last_error = code
    if study.attempts >= _MOST_ATTEMPTS:
        study.state, study.finished_at = PullState.FAILED, now()
        return True
    return False


def finish_pull(session: Session, pull_id: int, actor: str) -> None:
    pull = session.get_one(Pull, pull_id)
    pull.finished_at = now()
    reached = progress(session, pull_id)
    record_event(
        session, "pull.finished", subject=str(pull_id), actor=actor,
        archive=pull.archive, done=reached.done, failed=reached.failed, images=reached.images,
    )  # fmt: skip


def progress(session: Session, pull_id: int) -> Progress:
    rows = session.execute(
        select(PulledStudy.state, PulledStudy.last_error, func.count(), func.coalesce(func.sum(PulledStudy.images), 0))
        .where(PulledStudy.pull_id == pull_id)
        .group_by(PulledStudy.state, PulledStudy.last_error)
    )
    studies: Counter[PullState] = Counter()
    failures: dict[str, int] = {}
    came = 0
    for state, code, number, images in rows:
        studies[state] += number
        came += images or 0
        if state is PullState.FAILED:
            failures[str(code)] = number
    return Progress(
        pending=studies[PullState.PENDING],
        done=studies[PullState.DONE],
        failed=studies[PullState.FAILED],
        images=came,
        failures=failures,
    )


def count_images(session: Session, study_instance_uid: str, series_instance_uid: str) -> int:
    """How many images of the series have been received, by whatever road."""
    statement = (
        select(func.count(Instance.id))
        .join(Study)
        .where(Study.study_instance_uid == study_instance_uid, Instance.series_instance_uid == series_instance_uid)
    )
    return session.scalar(statement) or 0


def _asks(pull: Pull, query: PullQuery) -> bool:
    return {key: value for key, value in pull.query.items() if key != "listed_until"} == query._document()


def _opened(session: Session, pull: Pull, actor: str) -> OpenPull:
    record_event(session, "pull.resumed", subject=str(pull.id), actor=actor, archive=pull.archive)
    asked = pull.query
    query = PullQuery(
        date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"]), tuple(asked["modalities"])
    )
    listed = asked.get("listed_until")
    return OpenPull(pull.id, query, date.fromisoformat(listed) if listed else None, resumed=True)


def _end(session: Session, study_id: int, state: PullState, **values: object) -> None:
    study = session.get_one(PulledStudy, study_id)
    study.state, study.finished_at = state, now()
    study.attempts += 1
    for name, value in values.items():
        setattr(study, name, value)
