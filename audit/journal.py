"""Refusals in the audit log, in bounds: a scanner or a client that retries for ever must not fill the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from audit.events import record_event
from audit.session import Database
from core.logs import describe, get_logger

_WINDOW_SECONDS = 60.0
_EVENTS_PER_WINDOW = 100


class Journal:
    """Writes the same refusal once a minute, and a hundred refusals a minute at most.

    The next event that is written says how many were left out before it. A database that is away costs the event: it
    is logged and never raised.
    """

    def __init__(self, database: Database, room: str = "audit", clock: Callable[[], float] = time.monotonic) -> None:
        """``room`` names the log that refusals go to as well."""
        self._database, self._clock = database, clock
        self._log = get_logger(room)
        self._lock = threading.Lock()
        self._window_ends = clock()
        self._written: set[tuple[str, ...]] = set()
        self._left_out = 0

    def refusal(self, kind: str, *, same: tuple[str, ...], subject: str = "", actor: str, **data: object) -> None:
        """``same`` tells which refusals are one; the rest is as in ``record_event``."""
        left_out = self._take((kind, *same))
        if left_out is None:
            return
        if left_out:
            data["left_out_before"] = left_out
        self._log.warning(kind, subject=subject, actor=actor, **data)
        try:
            with self._database.write() as session:
                record_event(session, kind, subject=subject, actor=actor, **data)
        except Exception as exc:  # noqa: BLE001 - the refusal has been answered; the process outlives its database
            self._log.warning("audit_event_lost", kind=kind, **describe(exc))

    def _take(self, same: tuple[str, ...]) -> int | None:
        """How many were left out since the last event, or None when this one is left out as well."""
        with self._lock:
            if self._clock() >= self._window_ends:
                self._window_ends = self._clock() + _WINDOW_SECONDS
                self._written.clear()
            if same in self._written or len(self._written) >= _EVENTS_PER_WINDOW:
                self._left_out += 1
                return None
            self._written.add(same)
            left_out, self._left_out = self._left_out, 0
            return left_out
