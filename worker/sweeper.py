"""Finds work whose message was lost and sends it again; lets the results of idle studies go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from audit.commitments import mark_lost_requests
from audit.confirmations import mark_lost_questions
from audit.leases import mark_lost_messages
from audit.models import Delivery, Job
from audit.session import Database
from audit.studies import release_idle_studies
from core.broker import WorkQueue, send_wake_up
from core.logs import describe, get_logger
from core.records import STUDY_KINDS
from core.settings import Settings

log = get_logger("sweeper")

_BEAT_SECONDS = 30.0
_NO_ROW = 0
_DUE = (
    (WorkQueue.INFERENCE, lambda session, seconds: mark_lost_messages(session, Job, seconds)),
    (WorkQueue.DELIVERY, lambda session, seconds: mark_lost_messages(session, Delivery, seconds)),
    (WorkQueue.DELIVERY, mark_lost_questions),
    (WorkQueue.DELIVERY, mark_lost_requests),
)
"""Each marks what is due without a live message, and returns the id of one such row."""


class Sweeper(threading.Thread):
    """Runs beside every worker; several at once do no harm, since each row they mark is marked once."""

    def __init__(
        self,
        app: Celery,
        database: Database,
        settings: Settings,
        own_queue: WorkQueue,
        chores: Sequence[Callable[[], object]] = (),
    ) -> None:
        """``chores`` are done at each sweep as well."""
        super().__init__(name="sweeper", daemon=True)
        self._app, self._database, self._settings, self._own_queue = app, database, settings.worker, own_queue
        self._conclude = bool(settings.wanted_kinds.intersection(STUDY_KINDS))
        self._chores = chores
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        next_beat = 0.0
        while not self._stopping.wait(self._settings.sweep_seconds):
            try:
                if time.monotonic() >= next_beat:
                    send_wake_up(self._app, self._own_queue, _NO_ROW)  # shows that messages still reach a worker
                    next_beat = time.monotonic() + _BEAT_SECONDS
                self.sweep()
            except OperationalError as exc:
                log.warning("broker_unreachable", **describe(exc))
            except Exception as exc:  # noqa: BLE001 - without the sweeper, lost messages stay lost
                log.error("sweep_failed", **describe(exc))

    def sweep(self) -> None:
        with self._database.write() as session:
            idle_seconds = self._settings.study_idle_seconds
            for study_instance_uid in release_idle_studies(session, idle_seconds, conclude=self._conclude):
                log.info("study_reported", study_instance_uid=study_instance_uid)
        for work_queue, mark_lost in _DUE:
            with self._database.write() as session:
                row_id = mark_lost(session, self._settings.message_life_seconds)
            if row_id is not None:
                send_wake_up(self._app, work_queue, row_id)
        for chore in self._chores:
            chore()
