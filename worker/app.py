"""``pneumo work``: a Celery worker on one queue, with its sweeper beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from celery import Celery

from audit.life import recorded_life
from audit.session import Database
from core.broker import WorkQueue, celery_app, send_wake_up
from core.logs import get_logger
from core.settings import Settings
from core.spool import Spool
from core.tracing import tracing
from worker.event_forwarding import EventForwarding
from worker.pulse import WORKER, Pulse
from worker.sweeper import Sweeper
from worker.tasks import Drain, register

log = get_logger("worker")

_NO_ROW = 0


@dataclass(frozen=True, slots=True)
class _Room:
    """What the worker of a queue does. ``chores`` are done at each sweep, in the sweeper's thread."""

    drain: Drain
    alive: Pulse
    chores: tuple[Callable[[], object], ...] = ()


def run(settings: Settings, work_queue: WorkQueue) -> None:
    """Blocks until SIGTERM or SIGINT, then finishes what it holds.

    Raises:
        ConfigurationError: the model's weights cannot be used.
    """
    database, spool, app = Database(settings.database), Spool(settings.spool), celery_app(settings)
    if work_queue is WorkQueue.INFERENCE:
        room = _inference(settings, database, spool, app)
    else:
        room = _delivery(settings, database, spool)
    register(app, work_queue, room.drain, room.alive)
    room.alive()
    sweeper = Sweeper(app, database, settings, work_queue, room.chores)
    sweeper.start()
    witness = None
    if work_queue is WorkQueue.DELIVERY and settings.audit.syslog is not None:
        witness = EventForwarding(settings, settings.audit.syslog, database)
        witness.start()
    log.info("worker_started", queue=work_queue)
    try:
        process = f"worker.{work_queue}"
        with tracing(settings.otlp_endpoint, process), recorded_life(database, process):
            _start(app, work_queue, settings)
    finally:
        sweeper.stop()
        if witness is not None:
            witness.stop()
        database.close()


def _delivery(settings: Settings, database: Database, spool: Spool) -> _Room:
    from worker.commitment import CommitmentAnswers
    from worker.confirmation import Confirmations
    from worker.outbox import Outbox

    return _Room(
        _in_turn(
            Outbox(settings, database, spool).drain,
            Confirmations(settings, database).drain,
            CommitmentAnswers(settings, database).drain,
        ),
        Pulse(database, WorkQueue.DELIVERY),
        tuple(_chain_chores(settings, database)),
    )


def _chain_chores(settings: Settings, database: Database) -> Iterator[Callable[[], object]]:
    from worker.anchoring import Anchoring, DailyVerification

    if settings.audit.anchor_file is not None:
        yield Anchoring(database, settings.audit.anchor_file, settings.audit.anchor_seconds)
    yield DailyVerification(database, settings.audit.anchor_file)


def _inference(settings: Settings, database: Database, spool: Spool, app: Celery) -> _Room:
    from worker.conclusions import conclude  # the other worker has no need of what builds results
    from worker.inference import InferenceRoom
    from worker.lineup import models_for
    from worker.routing import check_routes

    check_routes(settings)
    models = models_for(database, settings)

    def follow_activations() -> None:
        """A worker without images learns of another model all the same, and tells what it answers with."""
        if not models.is_current():
            send_wake_up(app, WorkQueue.INFERENCE, _NO_ROW)

    alive = Pulse(database, WorkQueue.INFERENCE, lambda: models.lineup().active.in_charge)
    room = InferenceRoom(settings, database, spool, models, alive)
    return _Room(room.drain, alive, (partial(conclude, settings, database, spool), follow_activations))


def _in_turn(*drains: Drain) -> Drain:
    """Each has its turn, however much there is for the one before it."""

    def drain() -> bool:
        left = [each() for each in drains]
        return any(left)

    return drain


def _start(app: Celery, work_queue: WorkQueue, settings: Settings) -> None:
    # CUDA does not survive a fork, so inference runs in the process itself: one process, one model, one GPU. Deliveries
    # wait for sockets, so they run in threads.
    pool, concurrency = ("solo", 1) if work_queue is WorkQueue.INFERENCE else ("threads", settings.delivery.concurrency)
    worker = app.Worker(
        pool=pool,
        concurrency=concurrency,
        queues=[work_queue],
        hostname=f"{work_queue}@{WORKER}",
        loglevel="WARNING",
        quiet=True,
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    if worker.exitcode:
        sys.exit(worker.exitcode)
