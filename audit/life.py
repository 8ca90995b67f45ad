"""``application.started`` and ``application.stopped``: when a process was there to record what happened."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from audit.events import record_event
from audit.models import now
from audit.session import Database
from core.logs import describe, get_logger

log = get_logger("life")

_RETRY_SECONDS = 10.0
_LAST_TRY_SECONDS = 5.0


@contextmanager
def recorded_life(database: Database, process: str) -> Iterator[None]:
    """Record the start of a process before the block and its end after it; ``process`` is such as ``listener``.

    The database may be away: the process starts all the same, and its start is recorded when the database is back.
    """
    life = _Life(database, process)
    life.begin()
    why = "signal"
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as exc:
        if isinstance(exc, SystemExit) and exc.code:
            why = f"exit {exc.code}"
        raise
    except BaseException as exc:
        why = type(exc).__name__
        raise
    finally:
        life.end(why)


class _Life:
    """Writes in a thread of its own: neither start nor stop waits for a database that hangs."""

    def __init__(self, database: Database, process: str) -> None:
        self._database, self._process = database, process
        self._about = {"version": version("pneumo"), "host": socket.gethostname(), "pid": os.getpid()}
        self._unwritten: list[tuple[str, dict[str, Any]]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="life", daemon=True)

    def begin(self) -> None:
        self._note("application.started")
        self._thread.start()

    def end(self, why: str) -> None:
        self._note("application.stopped", reason=why)
        self._ending.set()
        self._thread.join(_LAST_TRY_SECONDS)
        if self._thread.is_alive():
            log.warning("audit_event_lost", kind="application.stopped")

    def _note(self, kind: str, **more: object) -> None:
        self._unwritten.append((kind, {**self._about, **more, "happened_at": now().isoformat()}))

    def _run(self) -> None:
        while not self._ending.is_set():
            written = self._write()
            self._ending.wait(None if written else _RETRY_SECONDS)
        self._write()

    def _write(self) -> bool:
        notes = list(self._unwritten)
        try:
            with self._database.write() as session:
                for kind, about in notes:
                    record_event(session, kind, subject=self._process, **about)
        except Exception as exc:  # noqa: BLE001 - the process outlives its database, and tries again
            log.warning("audit_event_delayed", kinds=[kind for kind, _ in notes], **describe(exc))
            return False
        del self._unwritten[: len(notes)]
        return True
