"""``pneumo work``: a Celery worker on one queue, with its sweeper beside it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial

from celery import Celery

from audit.heartbeats import beat
from audit.session import Database
from core.broker import WorkQueue, celery_app
from core.logs import get_logger
from core.settings import Settings
from core.spool import Spool
from worker.sweeper import Sweeper
from worker.tasks import Drain, register

log = get_logger("worker")


def run(settings: Settings, work_queue: WorkQueue) -> None:
    """Blocks until SIGTERM or SIGINT, then finishes what it holds.

    Raises:
        ConfigurationError: the model's weights cannot be used.
    """
    database, spool, app = Database(settings.database), Spool(settings.spool), celery_app(settings)
    worker_name = f"{socket.gethostname()}"

    def alive() -> None:
        with database.write() as session:
            beat(session, work_queue, worker_name)

    register(app, work_queue, _drain(settings, database, spool, work_queue), alive)
    alive()
    sweeper = Sweeper(app, database, settings, work_queue, _chores(settings, database, spool, work_queue))
    sweeper.start()
    log.info("worker_started", queue=work_queue)
    try:
        _start(app, work_queue, settings)
    finally:
        sweeper.stop()
        database.close()


def _drain(settings: Settings, database: Database, spool: Spool, work_queue: WorkQueue) -> Drain:
    if work_queue is WorkQueue.DELIVERY:
        from worker.commitment import CommitmentAnswers
        from worker.confirmation import Confirmations
        from worker.outbox import Outbox

        return _in_turn(
            Outbox(settings, database, spool).drain,
            Confirmations(settings, database).drain,
            CommitmentAnswers(settings, database).drain,
        )

    from worker.inference import InferenceRoom
    from worker.lineup import models_for
    from worker.routing import check_routes

    check_routes(settings)
    models = models_for(database, settings)
    return InferenceRoom(settings, database, spool, models).drain


def _chores(settings: Settings, database: Database, spool: Spool, work_queue: WorkQueue) -> list[Callable[[], object]]:
    if work_queue is not WorkQueue.INFERENCE:  # the other worker has no need of what builds results
        return []

    from worker.conclusions import conclude

    return [partial(conclude, settings, database, spool)]


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
        hostname=f"{work_queue}@{socket.gethostname()}",
        loglevel="WARNING",
        quiet=True,
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    if worker.exitcode:
        sys.exit(worker.exitcode)
