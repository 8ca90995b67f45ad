"""The Celery task of a queue: a message says that something is due, the table says what."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError

from core.broker import WorkQueue, send_wake_up, task_name
from core.logs import describe, get_logger

log = get_logger("worker")

Drain = Callable[[], bool]
"""Works until nothing is due; returns True when time ran out before that."""


def register(app: Celery, work_queue: WorkQueue, drain: Drain, alive: Callable[[], None]) -> None:
    """Make the queue's one task: show that we consume, drain, and wake ourselves again if anything is left."""

    @app.task(name=task_name(work_queue))
    def wake(row_id: int) -> None:
        try:
            alive()
            if drain():
                send_wake_up(app, work_queue, row_id)
        except OperationalError as exc:
            log.warning("broker_unreachable", **describe(exc))
        except Exception as exc:  # noqa: BLE001 - Celery would log the message, which may quote data; leases recover
            log.error("drain_failed", queue=work_queue, **describe(exc))
