"""Connections of clients that are slow on purpose: each step of a request has its time, after which they are closed.

uvicorn bounds the pause between two requests alone. How long a body may take is in ``api.guard``.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES = 16 * 1024
"""Request line and headers together."""
HEAD_SECONDS = 15.0
STALLED_SECONDS = 60.0
"""Some answer waits, and the client has taken nothing of it for so long."""


class BoundedConnection(H11Protocol):
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._expect_head(None)
        elif self._head_timer is None and self.conn.trailing_data[0]:  # of the next request, after one that is done
            self._expect_head(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_head(None)
        self._expect_reading(None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading(STALLED_SECONDS)

    def resume_writing(self) -> None:
        self._expect_reading(None)
        super().resume_writing()

    def _expect_head(self, within: float | None) -> None:
        self._head_timer = self._renewed(self._head_timer, within)

    def _expect_reading(self, within: float | None) -> None:
        self._stall_timer = self._renewed(self._stall_timer, within)

    def _renewed(self, former: asyncio.TimerHandle | None, seconds: float | None) -> asyncio.TimerHandle | None:
        if former is not None:
            former.cancel()
        # abort, for close() would first wait for the client to read on
        return None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
