"""Takes images off the job table, a batch at a time, until none is due."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import structlog

from audit.inference_jobs import claim_inference, finish_inference, postpone_inference, retry_inference
from audit.leases import renew
from audit.models import Job
from audit.session import Database
from core.errors import LeaseLost, RetryLater
from core.logs import describe, get_logger
from core.records import Analysis, Finding, InferenceJob, Outcome
from core.settings import Settings
from core.spool import Spool
from ml.classifier import Classifier
from worker.lineup import Loaded, Models
from worker.pipeline import Analysed, analyse, failed
from worker.results import stored
from worker.routing import kinds_for, route_results
from worker.shadow import Decoded, judge_in_shadow

log = get_logger("inference")

# A message that arrives while we drain waits; a broker may take a long silence for a dead consumer.
_DRAIN_SECONDS = 30.0
_POSTPONED_SECONDS = 60.0


class InferenceRoom:
    """The work of the loaded models on claimed jobs; a batch ends with the ones it began with."""

    def __init__(self, settings: Settings, database: Database, spool: Spool, models: Models) -> None:
        self._settings, self._database, self._spool, self._models = settings, database, spool, models
        self._kinds = kinds_for(settings)

    def drain(self) -> bool:
        """Work until nothing is due; True when time ran out before that."""
        limit, lease_seconds = self._settings.worker.batch_size, self._settings.worker.lease_seconds
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            lineup = self._models.lineup()
            with self._database.write() as session:
                jobs = claim_inference(session, limit, lease_seconds)
            if not jobs:
                return False
            decoded = self._work(jobs, lineup.active)
            judge_in_shadow(self._database, lineup.shadows, decoded)
        return True

    def _work(self, jobs: Sequence[InferenceJob], model: Loaded) -> list[Decoded]:
        """One batch. Whatever one image does to us, every job of the batch is finished or given back.

        Returns what other models may judge as well: the decoded images whose outcome we have written.
        """
        unfinished, decoded = {job.id: job for job in jobs}, []
        try:
            for job, analysed in zip(jobs, self._analyse(jobs, model.classifier), strict=True):
                with structlog.contextvars.bound_contextvars(job_id=job.id, sop_instance_uid=job.sop_instance_uid):
                    written = self._finish(job, analysed, model)
                if written and analysed.readable is not None and not job.patient_conflict:
                    decoded.append(Decoded(job.instance_id, analysed.readable))
                del unfinished[job.id]
                self._keep(unfinished)
        except Exception as exc:  # noqa: BLE001 - an image that breaks us must not take the worker with it
            log.error("batch_failed", jobs=list(unfinished), **describe(exc))
            for job in unfinished.values():
                self._give_back(job, type(exc).__name__, model)
        return decoded

    def _analyse(self, jobs: Sequence[InferenceJob], classifier: Classifier) -> Iterator[Analysed]:
        intended_use = self._settings.intended_use
        if jobs[0].attempts > self._settings.worker.maximum_attempts:  # such a job comes alone
            with self._spool.open(jobs[0].spool_name) as file:
                reason = Finding("worker_lost", "The worker was lost each time it analysed this image.")
                yield failed(file, reason, classifier, intended_use, self._kinds)
            return
        with ExitStack() as stack:
            files = [stack.enter_context(self._spool.open(job.spool_name)) for job in jobs]
            yield from analyse(files, classifier, intended_use, self._kinds)

    def _finish(self, job: InferenceJob, analysed: Analysed, model: Loaded) -> bool:
        """Write the outcome; False where the job has become another worker's."""
        analysis, results = analysed.analysis, analysed.results
        if job.patient_conflict:
            detail = "The study is known under another patient; nothing is written back until this is resolved."
            analysis, results = _not_analysed(Finding("patient_conflict", detail)), ()
        takers = {}
        if analysed.case is not None:
            routing = route_results(
                self._settings, source=job.source, outcome=analysis.outcome, image=analysed.case.source
            )
            takers = routing.takers()
        objects = [stored(result, self._spool) for result in results]
        try:
            with self._database.write() as session:
                finish_inference(
                    session,
                    job,
                    analysis,
                    model_version_id=model.model_version_id,
                    results=objects,
                    destinations=takers,
                    stage_seconds=analysed.stage_seconds,
                )
        except (LeaseLost, RetryLater) as exc:
            for result in objects:
                self._spool.release(result.spool_name)
            if isinstance(exc, RetryLater):
                self._postpone(job, exc.code)
            else:
                log.warning("lease_lost")
            return False
        log.info("image_finished", outcome=analysis.outcome, attempts=job.attempts)
        return True

    def _postpone(self, job: InferenceJob, code: str) -> None:
        log.warning("image_postponed", code=code)
        with self._database.write() as session:
            postpone_inference(session, job, code, _POSTPONED_SECONDS)

    def _keep(self, unfinished: dict[int, InferenceJob]) -> None:
        if unfinished:
            token = next(iter(unfinished.values())).token
            with self._database.write() as session:
                renew(session, Job, list(unfinished), token, self._settings.worker.lease_seconds)

    def _give_back(self, job: InferenceJob, code: str, model: Loaded) -> None:
        """Due again after a pause, or failed for good after the last attempt."""
        try:
            if job.attempts < self._settings.worker.maximum_attempts:
                with self._database.write() as session:
                    retry_inference(session, job, code, self._settings.worker.retry_seconds)
                return
            with self._spool.open(job.spool_name) as file:
                reason = Finding("analysis_failed", f"The analysis failed {job.attempts} times: {code}.")
                given_up = failed(file, reason, model.classifier, self._settings.intended_use, self._kinds)
                self._finish(job, given_up, model)
        except LeaseLost:
            log.warning("lease_lost", job_id=job.id)


def _not_analysed(reason: Finding) -> Analysis:
    return Analysis(Outcome.NOT_ANALYSED, reasons=(reason,))
