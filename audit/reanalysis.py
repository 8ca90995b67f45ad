"""Another analysis of images whose results were recalled, by the model that is in charge now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, raiseload

from audit.events import record_event
from audit.models import (
    Instance,
    Job,
    JobState,
    ModelVersion,
    Prediction,
    PredictionWarning,
    Priority,
    Role,
    Study,
    now,
)
from audit.recalls import Recall, change, lock_studies


@dataclass(frozen=True, slots=True)
class Reanalysis:
    """Images by what became of them; those in ``queued`` are due now."""

    queued: int = 0
    waiting: int = 0
    """Due already."""
    done: int = 0
    """The model in charge has answered."""
    blocked: int = 0
    """The model in charge has answered, and that answer is recalled: another one has to be activated."""

    def __add__(self, other: Reanalysis) -> Reanalysis:
        return Reanalysis(
            self.queued + other.queued,
            self.waiting + other.waiting,
            self.done + other.done,
            self.blocked + other.blocked,
        )


def reanalyse(
    session: Session, recall: Recall, study_ids: Sequence[int], actor: str, in_charge_device_uid: str
) -> Reanalysis:
    """Make the jobs of these studies' recalled images due again; what comes of them is held and let go as ever."""
    at = now()
    studies = lock_studies(session, study_ids)
    jobs = session.execute(
        select(Job.id, Job.state, Job.instance_id, Instance.study_id)
        .join(Job.instance)
        .join(Instance.predictions)
        .where(*recall.conditions(), Prediction.recalled_at.is_not(None), Instance.study_id.in_(studies))
        .where(Instance.spool_name != "")  # an erased image has no file to analyse
        .order_by(Job.id)
    ).all()
    answers = _answers_by(session, in_charge_device_uid, [job.instance_id for job in jobs])
    fates = {job.id: _fate(job.state, answers.get(job.instance_id)) for job in jobs}
    queued = [job for job in jobs if fates[job.id] == "queued"]
    # The same model's answer in shadow makes way: there is one answer for an image and a model.
    shadows = [answers[job.instance_id].id for job in queued if job.instance_id in answers]
    session.execute(delete(PredictionWarning).where(PredictionWarning.prediction_id.in_(shadows)))
    session.execute(delete(Prediction).where(Prediction.id.in_(shadows)))
    change(
        session, update(Job).where(Job.id.in_([job.id for job in queued])),
        state=JobState.PENDING, priority=Priority.AGAIN, created_at=at, finished_at=None, due_at=at, woken_at=None,
        attempts=0, last_error=None,
    )  # fmt: skip
    per_study = Counter(job.study_id for job in queued)
    change(session, update(Study).where(Study.id.in_(per_study)), reported_at=None, concluded_at=None)
    for study_id, images in sorted(per_study.items()):
        record_event(
            session, "study.reanalysed", subject=studies[study_id], actor=actor,
            device_uid=in_charge_device_uid, images=images,
        )  # fmt: skip
    return Reanalysis(**Counter(fates.values()))


def _answers_by(session: Session, device_uid: str, instance_ids: Sequence[int]) -> dict[int, Prediction]:
    """The last one for each image."""
    statement = (
        select(Prediction)
        .join(Prediction.model_version)
        .where(ModelVersion.device_uid == device_uid, Prediction.instance_id.in_(instance_ids))
        .order_by(Prediction.id)
    )
    return {row.instance_id: row for row in session.scalars(statement.options(raiseload("*")))}


def _fate(state: JobState, answer: Prediction | None) -> str:
    if state is JobState.PENDING:
        return "waiting"
    if answer is None or answer.role is Role.SHADOW:
        return "queued"
    return "done" if answer.recalled_at is None else "blocked"
