"""Storage commitment over the network (PS3.4 J): asked of a PACS, and answered to modalities."""

from __future__ import annotations

import queue
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from audit.commitments import (
    CommitmentJob,
    Holding,
    claim_requests,
    look_up,
    mark_answered,
    mark_unanswerable,
    retry_answer,
)
from audit.session import Database
from core.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    Reference,
    Report,
    read_report,
    report_data_set,
    request_data_set,
)
from core.destinations import DICOMDestination
from core.errors import ConfigurationError, FailedForGood, LeaseLost, RetryLater
from core.logs import get_logger
from core.settings import Settings, Source
from worker.answers import pause_before_retry
from worker.scu import request_association

log = get_logger("commitment")

_REPORT_SECONDS = 3.0
"""How long a PACS may report on the association that asked; later it comes to our listener."""
_MODALITY_SECONDS = 15.0
_DRAIN_SECONDS = 30.0
_PER_ASSOCIATION = 32

# PS3.7 C.5, of N-EVENT-REPORT: what may pass. Any other failure is the modality's last word.
_MAY_PASS = (0x0110, 0x0213)
_INVALID_ARGUMENT_VALUE = 0x0115


@contextmanager
def associated(destination: DICOMDestination, calling_ae_title: str, sop_class_uid: str) -> Iterator[Association]:
    """With a context for the one SOP class; aborted where the block ends with an exception.

    Raises:
        RetryLater: there is no association, or the SOP class is not accepted.
        ConfigurationError: a file of ``destination.tls`` cannot be used.
    """
    try:
        association = request_association(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            calling_ae_title=calling_ae_title,
            contexts=[(sop_class_uid, None)],
            timeout_seconds=destination.timeout_seconds,
            tls=destination.tls,
        )
    except ssl.SSLError as exc:
        raise RetryLater("tls_refused") from exc
    except OSError as exc:
        raise RetryLater("unknown_host") from exc
    with _closing(association):
        yield association


@contextmanager
def _closing(association: Association) -> Iterator[None]:
    if not association.is_established:
        raise RetryLater(_why_not(association))
    try:
        yield
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _why_not(association: Association) -> str:
    if association.is_rejected:
        return "association_rejected"
    return "no_association" if association.acceptor.primitive is None else "no_accepted_context"


def ask(
    references: Sequence[Reference], destination: DICOMDestination, calling_ae_title: str, transaction_uid: str
) -> list[Report]:
    """N-ACTION. Returns what is reported on the same association, if anything is.

    Raises:
        RetryLater: the request did not arrive, or is not taken on.
        ConfigurationError: a file of ``destination.tls`` cannot be used.
    """
    arriving: queue.Queue[Report] = queue.Queue()
    with associated(destination, calling_ae_title, PUSH_MODEL) as association:
        association.bind(evt.EVT_N_EVENT_REPORT, _take_report, [arriving])
        try:
            answer, _ = association.send_n_action(
                request_data_set(transaction_uid, references), REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE
            )
        except RuntimeError as exc:
            raise RetryLater("association_lost") from exc
        if "Status" not in answer:
            raise RetryLater("no_answer")
        if answer.Status != 0x0000:
            raise RetryLater(f"commitment_refused_0x{answer.Status:04X}")
        return _await_report(arriving, transaction_uid)


def _take_report(event: Event, arriving: queue.Queue[Report]) -> tuple[int, None]:
    try:
        arriving.put(read_report(event.event_information))
    except Exception as exc:  # noqa: BLE001 - whatever pynetdicom and pydicom trip over in a stranger's bytes
        log.warning("report_unreadable", calling_ae_title=event.assoc.remote["ae_title"], cause=type(exc).__name__)
        return _INVALID_ARGUMENT_VALUE, None
    return 0x0000, None


def _await_report(arriving: queue.Queue[Report], transaction_uid: str) -> list[Report]:
    """Until that of the transaction has come; pynetdicom takes reports in threads of their own."""
    reports: list[Report] = []
    deadline = time.monotonic() + _REPORT_SECONDS
    with suppress(queue.Empty):
        while all(report.transaction_uid != transaction_uid for report in reports):
            reports.append(arriving.get(timeout=max(deadline - time.monotonic(), 0)))
    return reports


class CommitmentAnswers:
    """Tells modalities which of their instances we have, until they have heard it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._sources = {source.name: source for source in settings.sources}

    def drain(self) -> bool:
        """Answer until nothing is due; True when time ran out before that."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with self._database.write() as session:
                jobs = claim_requests(session, _PER_ASSOCIATION, self._settings.delivery.lease_seconds)
            if not jobs:
                return False
            self._answer(jobs)
        return True

    def _answer(self, jobs: Sequence[CommitmentJob]) -> None:
        waiting = list(jobs)
        try:
            with _associated_as_provider(self._sources.get(jobs[0].source), jobs[0]) as association:
                while waiting:
                    self._report(association, waiting[0])
                    del waiting[0]
        except ConfigurationError as exc:
            log.error("source_not_usable", source=jobs[0].source, reason=str(exc))
            self._put_off(waiting, "not_usable_as_configured")
        except RetryLater as exc:
            self._put_off(waiting, exc.code)
        except FailedForGood as exc:
            for job in waiting:
                self._give_up(job, exc.code)

    def _report(self, association: Association, job: CommitmentJob) -> None:
        """Raises RetryLater where the association is of no more use."""
        with self._database.read() as session:
            holding = look_up(session, job.references)
        status = _send_report(association, Report(job.transaction_uid, holding.held, holding.missing))
        log.info("commitment_reported", transaction_uid=job.transaction_uid, status=f"0x{status:04X}")
        if status == 0x0000 or status in (0x0107, 0x0116):
            self._settle(job, holding)
        elif status in _MAY_PASS:
            self._put_off([job], f"report_refused_0x{status:04X}")
        else:
            self._give_up(job, f"report_refused_0x{status:04X}")

    def _settle(self, job: CommitmentJob, holding: Holding) -> None:
        with self._fenced(job), self._database.write() as session:
            mark_answered(session, job, holding)

    def _put_off(self, jobs: Sequence[CommitmentJob], code: str) -> None:
        policy = self._settings.delivery
        for job in jobs:
            if job.age_seconds > policy.give_up_after_days * 86_400:
                self._give_up(job, f"gave_up_after_{code}")
                continue
            with self._fenced(job), self._database.write() as session:
                retry_answer(session, job, code, pause_before_retry(job.attempts, policy))

    def _give_up(self, job: CommitmentJob, code: str) -> None:
        with self._fenced(job), self._database.write() as session:
            mark_unanswerable(session, job, code)

    @contextmanager
    def _fenced(self, job: CommitmentJob) -> Iterator[None]:
        try:
            yield
        except LeaseLost:
            log.warning("lease_lost", commitment_request_id=job.id)


def _send_report(association: Association, report: Report) -> int:
    if not association.is_established:
        raise RetryLater("association_lost")
    try:
        answer, _ = association.send_n_event_report(
            report_data_set(report), report.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
    except RuntimeError as exc:
        raise RetryLater("association_lost") from exc
    if "Status" not in answer:
        raise RetryLater("no_answer")
    return int(answer.Status)


@contextmanager
def _associated_as_provider(source: Source | None, job: CommitmentJob) -> Iterator[Association]:
    """A new association, in which whoever requests it is the SCP (PS3.4 J.3.3.1.2, PS3.7 D.3.3.4).

    Raises:
        RetryLater: there is none.
        FailedForGood: nobody knows where the source is.
        ConfigurationError: a file of ``source.tls`` cannot be used.
    """
    if source is None or not source.host:
        raise FailedForGood("unknown_source" if source is None else "no_address")
    try:
        association = request_association(
            source.host,
            source.port,
            ae_title=job.calling_ae_title,
            calling_ae_title=job.called_ae_title,
            contexts=[(PUSH_MODEL, None)],
            timeout_seconds=_MODALITY_SECONDS,
            tls=source.tls,
            provider_of=[PUSH_MODEL],
        )
    except ssl.SSLError as exc:
        raise RetryLater("tls_refused") from exc
    except OSError as exc:
        raise RetryLater("unknown_host") from exc
    with _closing(association):
        yield association
