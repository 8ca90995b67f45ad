"""The inference queue as the database has it: claim, finish, try again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from audit.chain import moment
from audit.events import record_event
from audit.leases import settle, take
from audit.models import (
    Job,
    JobState,
    ModelVersion,
    Picture,
    PictureKind,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
    now,
)
from audit.study_results import destined, result_row
from audit.urgency import Turn, next_jobs
from core.errors import RetryLater
from core.records import Analysis, InferenceJob, ModelIdentity, ResultKind
from core.records import ResultObject as BuiltObject


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A PNG at rest in the spool."""

    kind: PictureKind
    spool_name: str
    sha256: str


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
    record_event(session, "model.registered", subject=device_uid, **facts(version))
    session.flush()
    return version.id


def facts(version: ModelVersion) -> dict[str, Any]:
    """What the event of a model says of its row; nothing of it ever changes."""
    return {
        "name": version.name,
        "version": version.version,
        "manufacturer": version.manufacturer,
        "digest": version.digest,
        "preprocessing_sha256": hashlib.sha256(version.preprocessing.encode()).hexdigest(),
        "label": version.label,
        "threshold": version.threshold,
        "temperature": version.temperature,
    }


def claim_inference(
    session: Session, limit: int, lease_seconds: float, turn: Turn = Turn.URGENT_FIRST
) -> list[InferenceJob]:
    """The next jobs (``audit.urgency.next_jobs``); the caller commits before it works on them."""
    jobs = next_jobs(session, limit, turn)
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
        media_type=instance.media_type,
        source=instance.source.name,
        patient_conflict=(instance.patient_id, instance.issuer_of_patient_id)
        != (study.patient_id, study.issuer_of_patient_id),
        generation=job.generation,
        uploaded=instance.upload is not None,
        use_tta=instance.upload is not None and instance.upload.use_tta,
        request_id=job.request_id or "",
        traceparent=job.traceparent or "",
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
    pictures: Sequence[StoredPicture] = (),
) -> None:
    """Outcome, warnings, pictures, result objects and their deliveries, in the transaction that ends the job.

    The deliveries are held until the study is idle (``audit.studies.release_idle_studies``).

    Args:
        destinations: names of those that get a kind.

    Raises:
        LeaseLost: another worker has the job.
        RetryLater: ``already_answered``, this model has judged the image before; or was recalled since, and nobody
            has asked it again.

    Either way the transaction must be rolled back.
    """
    settle(session, Job, job.id, job.token, state=JobState.DONE, finished_at=now(), last_error=None)
    _make_room(session, job.instance_id, model_version_id)
    _refuse_to_repeat(session, results)
    prediction = prediction_row(job.instance_id, model_version_id, analysis, stage_seconds)
    prediction.result_objects = [result_row(job.study_id, built, destinations.get(built.kind, ())) for built in results]
    prediction.pictures = [
        Picture(kind=picture.kind, spool_name=picture.spool_name, sha256=picture.sha256) for picture in pictures
    ]
    session.add(prediction)
    session.flush()
    record_event(
        session,
        f"prediction.{analysis.outcome}",
        subject=job.sop_instance_uid,
        attempts=job.attempts,
        **said(session, prediction),
    )


def said(session: Session, prediction: Prediction) -> dict[str, Any]:
    """What the event of an outcome says of its row, which `pneumo audit verify` holds the row against ever after."""
    codes: dict[Severity, list[str]] = {Severity.WARNING: [], Severity.REASON: []}
    for finding in prediction.warnings:
        codes[finding.severity].append(finding.code)
    return {
        "prediction": prediction.id,
        "device_uid": session.get_one(ModelVersion, prediction.model_version_id).device_uid,
        "probability": prediction.probability,
        "voi": prediction.voi,
        "warnings": sorted(codes[Severity.WARNING]),
        "reasons": sorted(codes[Severity.REASON]),
        "objects": sorted([each.sop_instance_uid, each.sha256] for each in prediction.result_objects),
        "deliveries": destined(prediction.result_objects),
        "pictures": sorted([each.kind, each.sha256] for each in prediction.pictures),
        "created_at": moment(prediction.created_at),
    }


def _make_room(session: Session, instance_id: int, model_version_id: int) -> None:
    """What the model said in shadow gives way to what it says in charge."""
    theirs = (
        Prediction.instance_id == instance_id,
        Prediction.model_version_id == model_version_id,
        Prediction.recalled_at.is_(None),
    )
    earlier = session.scalar(select(Prediction).where(*theirs))
    if earlier is None:
        return
    if earlier.role is Role.ACTIVE:
        raise RetryLater("already_answered")
    session.execute(delete(PredictionWarning).where(PredictionWarning.prediction_id == earlier.id))
    session.execute(delete(Prediction).where(*theirs))


def _refuse_to_repeat(session: Session, results: Sequence[BuiltObject]) -> None:
    """Names are derived: a withdrawn analysis has the same ones where nobody told the two apart."""
    uids = [built.sop_instance_uid for built in results]
    if session.scalar(select(ResultObject.id).where(ResultObject.sop_instance_uid.in_(uids)).limit(1)) is not None:
        raise RetryLater("already_answered")


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
