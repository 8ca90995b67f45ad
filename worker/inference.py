"""Takes images off the job table, a batch at a time, until none is due."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import structlog

from audit.inference_jobs import claim_inference, finish_inference, register_model, retry_inference
from audit.leases import renew
from audit.models import Job
from audit.session import Database
from core.errors import LeaseLost
from core.logs import describe, get_logger
from core.records import Analysis, Finding, InferenceJob, Outcome, ResultObject
from core.settings import Settings
from core.spool import Spool
from dicom.identity import device_uid
from ml.classifier import Classifier
from worker.pipeline import Analysed, BuiltResult, analyse, failed

log = get_logger("inference")

# A message that arrives while we drain waits; a broker may take a long silence for a dead consumer.
_DRAIN_SECONDS = 30.0


class InferenceRoom:
    """One loaded model, and the work it does on claimed jobs."""

    def __init__(self, settings: Settings, database: Database, spool: Spool, classifier: Classifier) -> None:
        self._settings, self._database, self._spool, self._classifier = settings, database, spool, classifier
        with database.write() as session:
            self._model_version_id = register_model(session, classifier.identity, device_uid(classifier.identity))

    def drain(self) -> bool:
        """Work until nothing is due; True when time ran out before that."""
        limit, lease_seconds = self._settings.worker.batch_size, self._settings.worker.lease_seconds
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with self._database.write() as session:
                jobs = claim_inference(session, limit, lease_seconds)
            if not jobs:
                return False
            self._work(jobs)
        return True

    def _work(self, jobs: Sequence[InferenceJob]) -> None:
        """One batch. Whatever one image does to us, every job of the batch is finished or given back."""
        unfinished = {job.id: job for job in jobs}
        try:
            for job, analysed in zip(jobs, self._analyse(jobs), strict=True):
                with structlog.contextvars.bound_contextvars(job_id=job.id, sop_instance_uid=job.sop_instance_uid):
                    self._finish(job, analysed)
                del unfinished[job.id]
                self._keep(unfinished)
        except Exception as exc:  # noqa: BLE001 - an image that breaks us must not take the worker with it
            log.error("batch_failed", jobs=list(unfinished), **describe(exc))
            for job in unfinished.values():
                self._give_back(job, type(exc).__name__)

    def _analyse(self, jobs: Sequence[InferenceJob]) -> Iterator[Analysed]:
        intended_use = self._settings.intended_use
        if jobs[0].attempts > self._settings.worker.maximum_attempts:  # such a job comes alone
            with self._spool.open(jobs[0].spool_name) as file:
                reason = Finding("worker_lost", "The worker was lost each time it analysed this image.")
                yield failed(file, reason, self._classifier, intended_use)
            return
        with ExitStack() as stack:
            files = [stack.enter_context(self._spool.open(job.spool_name)) for job in jobs]
            yield from analyse(files, self._classifier, intended_use)

    def _finish(self, job: InferenceJob, analysed: Analysed) -> None:
        analysis, results = analysed.analysis, analysed.results
        if job.patient_conflict:
            detail = "The study is known under another patient; nothing is written back until this is resolved."
            analysis, results = _not_analysed(Finding("patient_conflict", detail)), ()
        stored = [self._store(result) for result in results]
        try:
            with self._database.write() as session:
                finish_inference(
                    session,
                    job,
                    analysis,
                    model_version_id=self._model_version_id,
                    results=stored,
                    destinations=[destination.name for destination in self._settings.destinations],
                    stage_seconds=analysed.stage_seconds,
                )
        except LeaseLost:
            for result in stored:
                self._spool.release(result.spool_name)
            log.warning("lease_lost")
            return
        log.info("image_finished", outcome=analysis.outcome, attempts=job.attempts)

    def _store(self, result: BuiltResult) -> ResultObject:
        return ResultObject(
            kind=result.kind,
            sop_class_uid=str(result.dataset.SOPClassUID),
            sop_instance_uid=str(result.dataset.SOPInstanceUID),
            series_instance_uid=str(result.dataset.SeriesInstanceUID),
            spool_name=self._spool.write(result.content, "results"),
            sha256=hashlib.sha256(result.content).hexdigest(),
        )

    def _keep(self, unfinished: dict[int, InferenceJob]) -> None:
        if unfinished:
            token = next(iter(unfinished.values())).token
            with self._database.write() as session:
                renew(session, Job, list(unfinished), token, self._settings.worker.lease_seconds)

    def _give_back(self, job: InferenceJob, code: str) -> None:
        """Due again after a pause, or failed for good after the last attempt."""
        try:
            if job.attempts < self._settings.worker.maximum_attempts:
                with self._database.write() as session:
                    retry_inference(session, job, code, self._settings.worker.retry_seconds)
                return
            with self._spool.open(job.spool_name) as file:
                reason = Finding("analysis_failed", f"The analysis failed {job.attempts} times: {code}.")
                self._finish(job, failed(file, reason, self._classifier, self._settings.intended_use))
        except LeaseLost:
            log.warning("lease_lost", job_id=job.id)


def _not_analysed(reason: Finding) -> Analysis:
    return Analysis(Outcome.NOT_ANALYSED, reasons=(reason,))
