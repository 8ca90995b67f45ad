"""Shows that a worker takes messages off its queue, and what it would answer with."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from audit.heartbeats import beat
from audit.session import Database
from core.broker import WorkQueue
from core.records import ModelInCharge

WORKER = socket.gethostname()
# Someone may be waiting for an answer: a beat is a commit, and not every message needs its own.
_OFTEN_ENOUGH_SECONDS = 5.0


class Pulse:
    """Call it for each message."""

    def __init__(
        self, database: Database, work_queue: WorkQueue, model: Callable[[], ModelInCharge] | None = None
    ) -> None:
        """``model``: what the next image would be judged with; None where nothing is judged."""
        self._database, self._work_queue, self._model = database, work_queue, model
        self._about: ModelInCharge | None = None
        self._next_at = float("-inf")

    def __call__(self) -> None:
        about = self._model() if self._model is not None else None
        if about == self._about and time.monotonic() < self._next_at:
            return
        with self._database.write() as session:
            beat(session, self._work_queue, WORKER, about)
        self._about, self._next_at = about, time.monotonic() + _OFTEN_ENOUGH_SECONDS
