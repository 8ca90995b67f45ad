"""Requests that wait for the model: one question to the database asks for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import time

import anyio.to_thread

from audit.session import Database
from audit.uploads import finished_jobs

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1
_SHARE = 0.05
"""Of the time that the newest has waited: an answer is noticed this much later than it was there."""


class Waiting:
    """Belongs to the event loop that first waits. A waiter is one future: hundreds need no thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._newest = 0.0
        self._poller: asyncio.Task[None] | None = None

    async def until_finished(self, job_id: int, seconds: float) -> bool:
        """Whether the job is done by then. Cancel it and nothing of it stays."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter], self._newest = job_id, time.monotonic()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.pop(waiter, None)
        return True

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller

    async def _poll(self) -> None:
        while self._waiters:
            try:
                finished = await anyio.to_thread.run_sync(self._finished, frozenset(self._waiters.values()))
            except Exception as exc:  # noqa: BLE001 - whatever the database fails with, each request is to tell it
                for waiter in [each for each in self._waiters if not each.done()]:
                    waiter.set_exception(exc)
                return
            for waiter, job_id in self._waiters.items():
                if job_id in finished and not waiter.done():
                    waiter.set_result(None)
            waited = time.monotonic() - self._newest
            await asyncio.sleep(min(max(waited * _SHARE, _SHORTEST_PAUSE), _LONGEST_PAUSE))

    def _finished(self, job_ids: frozenset[int]) -> set[int]:
        with self._database.read() as session:
            return finished_jobs(session, job_ids)
