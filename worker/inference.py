"""Takes images off the job table, a batch at a time, until none is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, groupby
from typing import Any, BinaryIO

import structlog

from audit.inference_jobs import claim_inference, finish_inference, postpone_inference, retry_inference
from audit.leases import renew
from audit.models import Job
from audit.session import Database
from audit.urgency import Turn, someone_waits
from core.errors import LeaseLost, RetryLater
from core.logs import describe, get_logger
from core.records import Analysis, Finding, InferenceJob, Outcome, ResultKind
from core.settings import Settings
from core.spool import Spool
from core.tracing import record_span
from ml.classifier import Classifier
from worker.lineup import Loaded, Models, registered
from worker.opening import opened
from worker.pictures import keep_pictures
from worker.pipeline import Analysed, analyse, failed
from worker.results import stored
from worker.routing import kinds_for, route_results
from worker.shadow import Decoded, judge_in_shadow

log = get_logger("inference")

# A message that arrives while we drain waits; a broker may take a long silence for a dead consumer.
_DRAIN_SECONDS = 30.0
_POSTPONED_SECONDS = 60.0
_FILE_MISSING, _ANALYSIS_FAILED = "file_missing", "analysis_failed"
_TURNS = (Turn.URGENT_FIRST, Turn.URGENT_FIRST, Turn.URGENT_FIRST, Turn.LATE_FIRST)


class InferenceRoom:
    """The work of the loaded models on claimed jobs; a batch ends with the ones it began with."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        spool: Spool,
        models: Models,
        alive: Callable[[], object] = lambda: None,
    ) -> None:
        """``alive``: called where another model has taken over, before it judges."""
        self._settings, self._database, self._spool, self._models = settings, database, spool, models
        self._kinds = kinds_for(settings)
        self._alive, self._active = alive, models.lineup().active
        self._turns = cycle(_TURNS)
        self._with_tta: tuple[Loaded, Loaded] | None = None

    def drain(self) -> bool:
        """Work until nothing is due; True when time ran out before that."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            lineup = self._models.lineup()
            if lineup.active is not self._active:
                self._active = lineup.active
                self._alive()
            jobs = self._claim(next(self._turns))
            if not jobs:
                return False
            decoded = self._work(jobs, lineup.active)
            judge_in_shadow(self._database, lineup.shadows, decoded)
        return True

    def _claim(self, turn: Turn) -> list[InferenceJob]:
        limit, lease_seconds = self._settings.worker.batch_size, self._settings.worker.lease_seconds
        with self._database.write() as session:
            return claim_inference(session, limit, lease_seconds, turn)

    def _work(self, jobs: Sequence[InferenceJob], active: Loaded) -> list[Decoded]:
        """One batch. Whatever one image does to us, every job of the batch is finished or given back.

        Where one breaks the batch, each is worked on alone: the others pay with a little time, not with an attempt.

        Returns what other models may judge as well: the decoded images whose outcome we have written.
        """
        unfinished, decoded = {job.id: job for job in jobs}, []
        try:
            for batch in _alike(jobs):
                model = self._asked(active, batch[0])
                for job, analysed in zip(batch, self._analyse(batch, model.classifier), strict=True):
                    with structlog.contextvars.bound_contextvars(**_names(job)):
                        began = time.perf_counter()
                        written = self._finish(job, analysed, model)
                        _trace(job, analysed, time.perf_counter() - began)
                    if written and analysed.readable is not None and not (job.patient_conflict or job.uploaded):
                        decoded.append(Decoded(job.instance_id, analysed.readable))
                    del unfinished[job.id]
                    self._keep(unfinished)
                    if not job.uploaded:
                        self._let_pass(active)
        except Exception as exc:  # noqa: BLE001 - an image that breaks us must not take the worker with it
            log.error("batch_failed", jobs=list(unfinished), **describe(exc))
            for job in list(unfinished.values()) if len(jobs) > 1 else ():
                self._keep(unfinished)
                decoded += self._work([job], active)
                del unfinished[job.id]
            for job in unfinished.values():
                self._give_back(job, exc, self._asked(active, job))
        return decoded

    def _let_pass(self, active: Loaded) -> None:
        """Who waits for an answer waits for one image of a batch, not for all of them."""
        with self._database.read() as session:
            waited_for = someone_waits(session)
        if waited_for and (jobs := self._claim(Turn.SOMEONE_WAITS)):
            self._work(jobs, active)

    def _asked(self, active: Loaded, job: InferenceJob) -> Loaded:
        """An upload may ask for test-time augmentation by itself, which makes another model of the active one."""
        if not job.use_tta or active.classifier.use_tta:
            return active
        if self._with_tta is None or self._with_tta[0] is not active:
            self._with_tta = active, registered(self._database, active.classifier.with_tta())
        return self._with_tta[1]

    def _analyse(self, jobs: Sequence[InferenceJob], classifier: Classifier) -> Iterator[Analysed]:
        """``jobs``: alike. Nothing is written about an upload but its row."""
        intended_use = self._settings.intended_use
        kinds = frozenset[ResultKind]() if jobs[0].uploaded else self._kinds
        public_url = "" if jobs[0].uploaded else self._settings.api.public_url
        with ExitStack() as stack:
            if jobs[0].attempts > self._settings.worker.maximum_attempts:  # such a job comes alone
                reason = Finding("worker_lost", "The worker was lost each time it analysed this image.")
                file = self._header_of(jobs[0], stack) or reason
                yield failed(file, reason, classifier, intended_use, kinds, generation=jobs[0].generation)
                return
            files = [opened(job, self._spool, stack) for job in jobs]
            generations = [job.generation for job in jobs]
            yield from analyse(files, classifier, intended_use, kinds, public_url=public_url, generations=generations)

    def _finish(self, job: InferenceJob, analysed: Analysed, model: Loaded) -> bool:
        """Write the outcome; False where the job has become another worker's."""
        analysis, results = analysed.analysis, analysed.results
        if job.patient_conflict:
            detail = "The study is known under another patient; nothing is written back until this is resolved."
            analysis, results = _not_analysed(Finding("patient_conflict", detail)), ()
        takers = {}
        if analysed.case is not None and not job.uploaded:
            routing = route_results(
                self._settings, source=job.source, outcome=analysis.outcome, image=analysed.case.source
            )
            takers = routing.takers()
        objects = [stored(result, self._spool) for result in results]
        pictures = keep_pictures(analysed, self._spool) if analysis.prediction is not None else []
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
                    pictures=pictures,
                )
        except (LeaseLost, RetryLater) as exc:
            for name in [*(result.spool_name for result in objects), *(picture.spool_name for picture in pictures)]:
                self._spool.release(name)
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

    def _give_back(self, job: InferenceJob, exc: Exception, model: Loaded) -> None:
        """Due again after a pause, or failed for good after the last attempt."""
        code = _FILE_MISSING if isinstance(exc, FileNotFoundError) else _ANALYSIS_FAILED
        try:
            if job.attempts < self._settings.worker.maximum_attempts:
                with self._database.write() as session:
                    retry_inference(session, job, code, self._settings.worker.retry_seconds)
                return
            reason = Finding(_ANALYSIS_FAILED, f"The analysis failed {job.attempts} times: {type(exc).__name__}.")
            self._finish(job, self._given_up(job, reason, model.classifier), model)
        except LeaseLost:
            log.warning("lease_lost", job_id=job.id)

    def _given_up(self, job: InferenceJob, reason: Finding, classifier: Classifier) -> Analysed:
        """With a report where one can be made; whatever the image is, it has its outcome."""
        intended_use = self._settings.intended_use
        try:
            with ExitStack() as stack:
                file = self._header_of(job, stack) or reason
                return failed(file, reason, classifier, intended_use, self._kinds, generation=job.generation)
        except FileNotFoundError:  # and was not there at any of the attempts
            reason = Finding(_FILE_MISSING, "The image's file is gone from the spool.")
        except Exception as exc:  # noqa: BLE001 - what broke the analysis may break the report as well
            log.error("report_failed", job_id=job.id, **describe(exc))
        return failed(reason, reason, classifier, intended_use)

    def _header_of(self, job: InferenceJob, stack: ExitStack) -> BinaryIO | Finding | None:
        """What the report on a failure needs of the image; None of an upload, of which none is written."""
        return None if job.uploaded else opened(job, self._spool, stack)


def _not_analysed(reason: Finding) -> Analysis:
    return Analysis(Outcome.NOT_ANALYSED, reasons=(reason,))


def _alike(jobs: Sequence[InferenceJob]) -> list[list[InferenceJob]]:
    """Those that are judged together: by the same model, with the same results."""

    def how(job: InferenceJob) -> tuple[bool, bool]:
        return job.uploaded, job.use_tta

    return [list(batch) for _, batch in groupby(sorted(jobs, key=how), how)]


def _names(job: InferenceJob) -> dict[str, Any]:
    """What log lines about a job carry."""
    names = {"job_id": job.id, "sop_instance_uid": job.sop_instance_uid}
    return names | {"request_id": job.request_id} if job.request_id else names


def _trace(job: InferenceJob, analysed: Analysed, storing_seconds: float) -> None:
    """Under the request or C-STORE that the image came with. The forward pass is shared out among its batch."""
    record_span(
        "analyse image",
        {**analysed.stage_seconds, "store": storing_seconds},
        parent=job.traceparent,
        kind="consumer",
        failed=analysed.analysis.outcome is Outcome.FAILED,
        job_id=job.id,
        sop_instance_uid=job.sop_instance_uid,
        outcome=analysed.analysis.outcome.value,
        attempts=job.attempts,
    )
