"""From a finished file to a committed row: the order of steps that makes Success mean something."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from audit.intake import Booked, Receipt, book_instance
from audit.session import Database
from core.broker import Waker, WorkQueue
from core.logs import describe, get_logger
from core.records import ReceivedInstance
from core.spool import Spool

log = get_logger("listener")

_BOOKINGS = 3
"""The first instances of a new study and source over several associations race for three unique rows: study, source,
instance. Who loses one race finds the row in the next attempt."""


class _OtherBytes(Exception):
    """The UID is known with other bytes, and the file still lies where the accepted ones do."""


class _CommitUnclear(Exception):
    """The database went away while it committed: the row may exist."""


class Reception:
    def __init__(self, database: Database, spool: Spool, waker: Waker, incoming: Path) -> None:
        self._database, self._spool, self._waker, self._incoming = database, spool, waker, incoming

    def take_in(self, path: Path, about: ReceivedInstance) -> tuple[Receipt, int | None]:
        """Spool the file, book it, wake a worker; ``about.spool_name`` is filled in here.

        On return the file is on the disk and its row committed, and the second value is the job. On an exception
        neither is left, save that the file stays when the database does not say how its commit ended: the row, if
        there is one, must not name a file that is gone.
        """
        received = replace(about, spool_name=self._spool.adopt(path, "received"))
        try:
            booked, received = self._book_or_keep_aside(received)
        except _CommitUnclear:
            raise
        except Exception:
            self._release(received.spool_name)
            raise
        if booked.receipt in (Receipt.DUPLICATE, Receipt.OWN_RESULT):
            self._release(received.spool_name)
        if booked.job_id is not None:
            self._waker.wake(WorkQueue.INFERENCE, booked.job_id)
        return booked.receipt, booked.job_id

    def _book_or_keep_aside(self, received: ReceivedInstance) -> tuple[Booked, ReceivedInstance]:
        try:
            return self._book(received), received
        except _OtherBytes:
            aside = replace(received, spool_name=self._keep_aside(received.spool_name))
        try:
            return self._book(aside), aside
        except _CommitUnclear:
            raise
        except Exception:
            self._release(aside.spool_name)
            raise

    def _book(self, received: ReceivedInstance) -> Booked:
        for attempts_left in reversed(range(_BOOKINGS)):
            committing = False
            try:
                with self._database.write() as session:
                    booked = book_instance(session, received)
                    if booked.receipt is Receipt.CONFLICT and not received.spool_name.startswith("kept_aside/"):
                        raise _OtherBytes
                    session.flush()  # a race is lost here, where nothing is committed yet
                    committing = True
                return booked
            except _OtherBytes:
                raise
            except Exception as exc:
                if committing:
                    log.error("commit_unclear", spool_name=received.spool_name, **describe(exc))
                    raise _CommitUnclear from exc
                if not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _keep_aside(self, spool_name: str) -> str:
        with (
            self._spool.open(spool_name) as stored,
            NamedTemporaryFile(dir=self._incoming, suffix=".dcm", delete=False) as copy,
        ):
            shutil.copyfileobj(stored, copy)
        moved = self._spool.adopt(Path(copy.name), "kept_aside")
        self._release(spool_name)
        return moved

    def _release(self, spool_name: str) -> None:
        try:
            self._spool.release(spool_name)
        except OSError as exc:
            log.warning("file_not_released", spool_name=spool_name, **describe(exc))
