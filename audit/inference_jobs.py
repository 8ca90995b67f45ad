"""The inference queue as the database has it: claim, finish, try again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from itertools import takewhile

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from audit.events import record_event
from audit.leases import is_due, settle, take
from audit.models import (
    Instance,
    Job,
    JobState,
    ModelVersion,
    Prediction,
    PredictionWarning,
    Role,
    Severity,
    now,
)
from audit.study_results import result_row
from core.errors import RetryLater
from core.records import Analysis, InferenceJob, ModelIdentity, ResultKind
from core.records import ResultObject as BuiltObject


def register_model(session: Session, model: ModelIdentity, device_uid: str) -> int:
    """The row of this model version, made at its first use."""
    known = session.scalar(select(ModelVersion.id).where(ModelVersion.device_uid == device_uid))
    if known is not None:
        return known
    version = ModelVersion(
        device_uid=device_uid,
        name=model.name,
        version=model.version,
        manufacturer=model.manufacturer,
        digest=model.digest,
        preprocessing=model.preprocessing,
        label=model.label,
        threshold=model.threshold,
        temperature=model.temperature,
    )
    session.add(version)
    record_event(session, "model.registered", subject=device_uid, name=model.name, version=model.version)
    session.flush()
    return version.id


def claim_inference(session: Session, limit: int, lease_seconds: float) -> list[InferenceJob]:
    """Up to ``limit`` due jobs, oldest first; the caller commits before it works on them.

    A job that was claimed before and never finished comes alone, in its turn: if it kills its worker again, it takes
    no other image with it, and a steady stream of new images cannot keep it waiting.
    """
    at = now()
    statement = (
        select(Job)
        .where(is_due(Job, at))
        .order_by(Job.due_at, Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Job)
        .options(
            joinedload(Job.instance, innerjoin=True).options(
                joinedload(Instance.study, innerjoin=True), joinedload(Instance.source, innerjoin=True)
            )
        )
    )
    jobs = list(session.scalars(statement))
    jobs = list(takewhile(lambda job: job.attempts == 0, jobs)) or jobs[:1]
    token = take(jobs, lease_seconds)
    return [_claimed(job, token) for job in jobs]


def _claimed(job: Job, token: str) -> InferenceJob:
    instance, study = job.instance, job.instance.study
    return InferenceJob(
        id=job.id,
        token=token,
        attempts=job.attempts,
        instance_id=instance.id,
        study_id=study.id,
        sop_instance_uid=instance.sop_instance_uid,
        spool_name=instance.spool_name,
        source=instance.source.name,
        patient_conflict=(instance.patient_id, instance.issuer_of_patient_id)
        != (study.patient_id, study.issuer_of_patient_id),
    )


def finish_inference(
    session: Session,
    job: InferenceJob,
    analysis: Analysis,
    *,
    model_version_id: int,
    results: Sequence[BuiltObject],
    destinations: Mapping[ResultKind, Collection[str]],
    stage_seconds: Mapping[str, float],
) -> None:
    """Outcome, warnings, result objects and their deliveries, in the transaction that ends the job.

    The deliveries are held until the study is idle (``audit.studies.release_idle_studies``).

    Args:
        destinations: names of those that get a kind.

    Raises:
        LeaseLost: another worker has the job.
        RetryLater: ``already_answered``, this model has judged the image before, and was perhaps recalled since.

    Either way the transaction must be rolled back.
    """
    settle(session, Job, job.id, job.token, state=JobState.DONE, finished_at=now(), last_error=None)
    _make_room(session, job.instance_id, model_version_id)
    prediction = prediction_row(job.instance_id, model_version_id, analysis, stage_seconds)
    prediction.result_objects = [result_row(job.study_id, built, destinations.get(built.kind, ())) for built in results]
    session.add(prediction)
    record_event(
        session,
        f"prediction.{analysis.outcome}",
        subject=job.sop_instance_uid,
        attempts=job.attempts,
        reasons=[finding.code for finding in analysis.reasons],
    )


def _make_room(session: Session, instance_id: int, model_version_id: int) -> None:
    """What the model said in shadow gives way to what it says in charge."""
    theirs = (Prediction.instance_id == instance_id, Prediction.model_version_id == model_version_id)
    earlier = session.scalar(select(Prediction).where(*theirs))
    if earlier is None:
        return
    if earlier.role is Role.ACTIVE:
        raise RetryLater("already_answered")
    session.execute(delete(PredictionWarning).where(PredictionWarning.prediction_id == earlier.id))
    session.execute(delete(Prediction).where(*theirs))


def prediction_row(
    instance_id: int, model_version_id: int, analysis: Analysis, stage_seconds: Mapping[str, float]
) -> Prediction:
    """An outcome with its warnings and reasons, without results."""
    return Prediction(
        instance_id=instance_id,
        model_version_id=model_version_id,
        outcome=analysis.outcome,
        probability=analysis.prediction.probability if analysis.prediction else None,
        voi=analysis.voi,
        stage_seconds={stage: round(seconds, 4) for stage, seconds in stage_seconds.items()},
        warnings=[
            PredictionWarning(severity=severity, code=finding.code, detail=finding.detail)
            for severity, findings in ((Severity.REASON, analysis.reasons), (Severity.WARNING, analysis.warnings))
            for finding in findings
        ],
    )


def postpone_inference(session: Session, job: InferenceJob, code: str, pause_seconds: float) -> None:
    """Due again after a pause, and nobody's failure: attempts count from the start. Raises LeaseLost."""
    due_at = now() + timedelta(seconds=pause_seconds)
    settle(session, Job, job.id, job.token, due_at=due_at, attempts=0, last_error=code)


def retry_inference(session: Session, job: InferenceJob, code: str, pause_seconds: float) -> None:
    """Give the job back, due again after a pause. Raises LeaseLost."""
    due_at = now() + timedelta(seconds=pause_seconds)
    settle(session, Job, job.id, job.token, due_at=due_at, last_error=code)
    record_event(session, "job.retried", subject=job.sop_instance_uid, code=code, attempts=job.attempts)
