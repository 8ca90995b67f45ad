"""The Celery app both ends use. A message is a wake-up that carries a row id and nothing else.

The job table is the truth: a message that is lost is sent again by the sweeper, one too many finds nothing due. That
is why the transport of a machine without a server may be a folder, which by itself promises little.
"""

from __future__ import annotations

import queue
import threading
from enum import StrEnum
from pathlib import Path

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from core.logs import get_logger
from core.settings import Settings

log = get_logger("broker")


class WorkQueue(StrEnum):
    """The two queues; a slow PACS on one never holds up a GPU on the other."""

    INFERENCE = "inference"
    DELIVERY = "delivery"


def task_name(work_queue: WorkQueue) -> str:
    return f"pneumo.{work_queue}"


def celery_app(settings: Settings) -> Celery:
    app = Celery("pneumo", broker=settings.broker_url or "filesystem://localhost/", set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the lease brings the job back; a poison image must not loop in the broker
        task_ignore_result=True,
        task_create_missing_queues=False,
        task_queues=[Queue(name, exchange=name, routing_key=name) for name in WorkQueue],
        task_routes={task_name(name): {"queue": name} for name in WorkQueue},
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,  # its reply queues are never cleaned up on Redis
        worker_hijack_root_logger=False,
        broker_connection_timeout=5,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings),
        timezone="UTC",
    )
    return app


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.broker_url.startswith(("redis", "rediss")):
        return {
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 15,
        }
    if settings.broker_url:
        return {"confirm_publish": True}
    folder = settings.home.absolute() / "broker"
    for name in ("messages", "control"):
        Path(folder, name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "store_processed": False,
        "polling_interval": 0.03,
    }


class Waker:
    """Sends wake-ups from a thread of its own: a broker that hangs never holds up whoever committed the row."""

    def __init__(self, app: Celery) -> None:
        self._app, self._closing = app, False
        self._pending: queue.SimpleQueue[tuple[WorkQueue, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
        self._thread.start()

    def wake(self, work_queue: WorkQueue, row_id: int) -> None:
        """Call after the row is committed."""
        self._pending.put((work_queue, row_id))

    def close(self, timeout: float = 5) -> None:
        self._closing = True
        self._pending.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (item := self._pending.get()) is not None and not self._closing:
            work_queue, row_id = item
            try:
                send_wake_up(self._app, work_queue, row_id)
            except OperationalError as exc:
                # Each try takes seconds while the broker is away. The sweeper wakes for whatever is due by then.
                dropped = 1 + self._drop_pending()
                log.warning("wake_ups_not_sent", queue=work_queue, number=dropped, cause=type(exc).__name__)

    def _drop_pending(self) -> int:
        dropped = 0
        while not self._closing and not self._pending.empty():
            self._pending.get()
            dropped += 1
        return dropped


def send_wake_up(app: Celery, work_queue: WorkQueue, row_id: int) -> None:
    """Raises kombu's OperationalError when the broker cannot be reached; the sweeper will send it again."""
    app.send_task(task_name(work_queue), args=[row_id], queue=work_queue, ignore_result=True, retry=False)


def probe_broker(app: Celery) -> None:
    """Raises kombu's OperationalError (or OSError) when the broker cannot be reached within a few seconds."""
    with app.connection_for_write(connect_timeout=3) as connection:
        connection.ensure_connection(max_retries=1, timeout=3)
