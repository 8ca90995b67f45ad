"""Another analysis because a person asks for it: of one image, or of those of a study that call for one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session, joinedload, raiseload

from audit.events import record_event
from audit.heartbeats import model_in_charge
from audit.models import Instance, Job, JobState, ModelState, ModelVersion, Prediction, Priority, Role, Study, now
from audit.reanalysis import Reanalysis
from audit.recalls import change, lock_studies, withdraw
from core.records import Outcome
from core.request_ids import current_request_id
from core.tracing import traceparent

_JUDGED = (Outcome.POSITIVE, Outcome.NEGATIVE)


class Fate(StrEnum):
    """What comes of asking for another analysis of an image."""

    QUEUED = "queued"
    """The answers that stand are withdrawn, and its job is due."""
    MADE_DUE = "made_due"
    """Its job was waiting already, and is due now."""
    UNDER_WAY = "under_way"
    """A worker has it."""
    DONE = "done"
    """The answer of the model in charge stands."""
    BLOCKED = "blocked"
    """The answer of the model in charge was recalled: another model has to be activated."""
    ERASED = "erased"
    """The image is gone."""


@dataclass(frozen=True, slots=True)
class Retrial:
    job: Job
    fate: Fate
    withdrawn: tuple[int, ...] = ()
    """Ids of predictions."""


@dataclass(frozen=True, slots=True)
class _Answer:
    id: int
    outcome: Outcome
    stands: bool
    device_uid: str


def retry_job(session: Session, job_id: int, actor: str) -> Retrial | None:
    """Analyse an image once more unless the model in charge has judged it; None where there is no such job.

    A job that waits is due now, with all of its attempts before it.
    """
    jobs = _locked(session, Job.id == job_id)
    if not jobs:
        return None
    (job,), answers = jobs, _answers(session, jobs)
    fate = _fate(session, job, answers[job.instance_id], _JUDGED)
    withdrawn: tuple[int, ...] = ()
    if fate is Fate.MADE_DUE:
        if _is_due(job):
            return Retrial(job, fate)
        _make_due(job, Priority(min(job.priority, Priority.NORMAL)))
    elif fate is Fate.QUEUED:
        withdrawn = _analyse_again(session, [job], answers, actor, Priority.NORMAL)
    if fate in (Fate.MADE_DUE, Fate.QUEUED):
        record_event(
            session, "job.requeued", subject=job.instance.sop_instance_uid, actor=actor,
            job=job.id, fate=fate, withdrawn=list(withdrawn),
        )  # fmt: skip
    return Retrial(job, fate, withdrawn)


def reanalyse_study(session: Session, study_instance_uid: str, actor: str) -> Reanalysis | None:
    """Analyse those images again whose analysis failed, or whose answer is recalled or by another model than the one
    in charge; these answers are withdrawn. None where there is no such study.

    Raises:
        ValueError: its images were erased.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        return None
    if study.erased_at is not None:
        raise ValueError("the images of this study were erased")
    jobs = _locked(session, Instance.study_id == study.id)
    answers = _answers(session, jobs)
    fates = {job.id: _fate(session, job, answers[job.instance_id], (*_JUDGED, Outcome.NOT_ANALYSED)) for job in jobs}
    queued = [job for job in jobs if fates[job.id] is Fate.QUEUED]
    withdrawn = _analyse_again(session, queued, answers, actor, Priority.AGAIN)
    if queued:
        record_event(
            session, "study.reanalysed", subject=study_instance_uid, actor=actor,
            device_uid=_device_uid_in_charge(session) or "", images=len(queued), withdrawn=list(withdrawn),
        )  # fmt: skip
    count = Counter(fates.values())
    return Reanalysis(
        queued=len(queued),
        waiting=count[Fate.MADE_DUE] + count[Fate.UNDER_WAY],
        done=count[Fate.DONE],
        blocked=count[Fate.BLOCKED],
    )


def _locked(session: Session, condition: ColumnElement[bool]) -> Sequence[Job]:
    """Jobs before studies, as whoever finishes a job locks them."""
    statement = (
        select(Job)
        .join(Job.instance)
        .where(condition)
        .order_by(Job.id)
        .with_for_update(of=Job)
        .options(
            joinedload(Job.instance, innerjoin=True).options(
                joinedload(Instance.study, innerjoin=True), joinedload(Instance.upload), raiseload("*")
            )
        )
    )
    return session.scalars(statement).all()


def _answers(session: Session, jobs: Sequence[Job]) -> dict[int, list[_Answer]]:
    """By instance, oldest first."""
    statement = (
        select(
            Prediction.instance_id, Prediction.id, Prediction.outcome, Prediction.recalled_at, ModelVersion.device_uid
        )
        .join(Prediction.model_version)
        .where(Prediction.instance_id.in_([job.instance_id for job in jobs]), Prediction.role == Role.ACTIVE)
        .order_by(Prediction.id)
    )
    answers = defaultdict(list)
    for instance_id, prediction_id, outcome, recalled_at, device_uid in session.execute(statement):
        answers[instance_id].append(_Answer(prediction_id, outcome, recalled_at is None, device_uid))
    return answers


def _fate(session: Session, job: Job, answers: Sequence[_Answer], final: Collection[Outcome]) -> Fate:
    """``final``: what the model in charge is not asked about twice."""
    if job.instance.study.erased_at is not None or not job.instance.spool_name:
        return Fate.ERASED
    if job.state is JobState.PENDING:
        leased = job.lease_until is not None and job.lease_until >= now()
        return Fate.UNDER_WAY if leased else Fate.MADE_DUE
    upload = job.instance.upload
    in_charge = _device_uid_in_charge(session, use_tta=upload is not None and upload.use_tta)
    if any(each.stands and each.outcome in final and in_charge in (None, each.device_uid) for each in answers):
        return Fate.DONE
    if answers and not any(each.stands for each in answers) and answers[-1].device_uid == in_charge:
        return Fate.BLOCKED
    return Fate.QUEUED


def _device_uid_in_charge(session: Session, *, use_tta: bool = False) -> str | None:
    """Of the model that would answer now; None where no worker is alive to say so and no model was ever active."""
    model = model_in_charge(session)
    if model is not None:
        return model.device_uid_with_tta if use_tta else model.device_uid
    return session.scalar(select(ModelVersion.device_uid).where(ModelVersion.state == ModelState.ACTIVE))


def _analyse_again(
    session: Session, jobs: Sequence[Job], answers: dict[int, list[_Answer]], actor: str, priority: Priority
) -> tuple[int, ...]:
    """Withdraw what stands of these images and make their jobs due; returns the ids of what was withdrawn."""
    studies = lock_studies(session, sorted({job.instance.study_id for job in jobs}))
    standing: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        for answer in answers[job.instance_id]:
            if answer.stands:
                standing[answer.device_uid].append(answer.id)
        if answers[job.instance_id]:
            job.generation += 1  # whichever model answers, and be it the same one: its results have new names
        job.state, job.created_at, job.finished_at = JobState.PENDING, now(), None
        _make_due(job, priority)
    for device_uid, ids in standing.items():
        withdraw(session, (Prediction.id.in_(ids),), studies, actor, device_uid)
    opened = {job.instance.study_id for job in jobs if job.instance.upload is None}  # an upload's is closed for ever
    change(session, update(Study).where(Study.id.in_(opened)), reported_at=None, concluded_at=None)
    return tuple(sorted(each for ids in standing.values() for each in ids))


def _is_due(job: Job) -> bool:
    """With all of its attempts before it: somebody asked before, or it is new."""
    return job.due_at is not None and job.due_at <= now() and not job.attempts and job.priority <= Priority.NORMAL


def _make_due(job: Job, priority: Priority) -> None:
    job.priority, job.due_at, job.woken_at = priority, now(), None
    job.attempts, job.last_error = 0, None
    job.request_id, job.traceparent = current_request_id() or None, traceparent() or None
