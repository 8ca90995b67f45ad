"""Asks destinations whether they have what they took, a destination at a time, until nobody is to be asked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from audit.confirmations import (
    Question,
    absent,
    claim_questions,
    confirm,
    note_transaction,
    settle_commitment,
    stop_asking,
    unknown,
)
from audit.session import Database
from core.destinations import DICOMDestination, DICOMwebDestination
from core.errors import ConfigurationError, LeaseLost, RetryLater
from core.logs import get_logger
from core.settings import Settings
from worker.commitment import ask
from worker.look_up import look_up

log = get_logger("confirmation")

_DRAIN_SECONDS = 30.0
_AT_ONCE = 100
"""Questions about a destination; a request for commitment names as many instances."""


class Confirmations:
    """Safe to drain from several threads: the table gives each a destination of its own."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database

    def drain(self) -> bool:
        """Ask until nothing is due; True when time ran out before that."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with self._database.write() as session:
                questions = claim_questions(session, _AT_ONCE, self._settings.delivery.lease_seconds)
            if not questions:
                return False
            self._ask(questions)
        return True

    def _ask(self, questions: Sequence[Question]) -> None:
        destination = self._settings.destination(questions[0].destination)
        match destination:
            case DICOMDestination(confirm="commitment"):
                self._request_commitment(questions, destination)
            case DICOMDestination(confirm="query") | DICOMwebDestination(confirm="query"):
                self._query(questions, destination)
            case _:
                for question in questions:
                    self._write(question, "not_asked", stop_asking)

    def _query(self, questions: Sequence[Question], destination: DICOMDestination | DICOMwebDestination) -> None:
        waiting = list(questions)
        try:
            for question, is_there in look_up(questions, destination, self._settings.listener.ae_title):
                del waiting[0]
                if is_there:
                    self._write(question, "confirmed", confirm)
                else:
                    self._write(question, "absent", partial(absent, destination=destination))
        except (RetryLater, ConfigurationError) as exc:
            self._put_off(waiting, destination, _code(exc))

    def _request_commitment(self, questions: Sequence[Question], destination: DICOMDestination) -> None:
        transaction_uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 B.2
        with self._database.write() as session:
            questions = note_transaction(session, questions, transaction_uid)
        references = [(question.sop_class_uid, question.sop_instance_uid) for question in questions]
        if not references:
            return
        code = None
        try:
            reports = ask(references, destination, self._settings.listener.ae_title, transaction_uid)
        except (RetryLater, ConfigurationError) as exc:
            reports, code = [], _code(exc)
        for report in reports:
            with self._database.write() as session:
                is_ours = settle_commitment(
                    session,
                    report.transaction_uid,
                    report.committed_uids,
                    report.failure_reasons,
                    {destination.name: destination},
                )
            log.info(
                "commitment_report", transaction_uid=report.transaction_uid, is_ours=is_ours,
                committed=len(report.committed), failed=len(report.failed),
            )  # fmt: skip
        self._put_off(questions, destination, code)

    def _put_off(
        self, questions: Sequence[Question], destination: DICOMDestination | DICOMwebDestination, code: str | None
    ) -> None:
        for question in questions:
            self._write(question, code or "no_report_yet", partial(unknown, destination=destination, code=code))

    def _write(self, question: Question, answer: str, write: Callable[..., None]) -> None:
        try:
            with self._database.write() as session:
                write(session, question)
        except LeaseLost:  # a report has settled it
            return
        log.info(
            "delivery_asked_for",
            destination=question.destination,
            sop_instance_uid=question.sop_instance_uid,
            answer=answer,
        )


def _code(exc: RetryLater | ConfigurationError) -> str:
    if isinstance(exc, RetryLater):
        return exc.code
    log.error("destination_not_usable", reason=str(exc))
    return "not_usable_as_configured"
