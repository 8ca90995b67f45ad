"""Connections of clients that ask for too much: a head has its length, and each step of a request has its time.

uvicorn bounds the pause between two requests alone. How long a body may be and take is in ``api.guard``.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES = 16 * 1024
"""Request line and headers together."""
HEAD_SECONDS = 15.0
STALLED_SECONDS = 60.0
"""Some answer waits, and the client has taken nothing of it for so long."""
_END_OF_HEAD = re.compile(rb"\n\r?\n")


class _BoundedReading(h11.Connection):
    """h11 itself bounds a head that comes in pieces, and not one that is there at once."""

    refused = HTTPStatus.BAD_REQUEST
    """What to answer once ``next_event`` has raised."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.IDLE and (fault := _fault_of_head(self.trailing_data[0])):
            self.refused = fault
            raise h11.RemoteProtocolError(fault.phrase, fault)
        return super().next_event()


def _fault_of_head(received: bytes) -> HTTPStatus | None:
    head = received[:HEAD_BYTES]
    if len(received) <= HEAD_BYTES or _END_OF_HEAD.search(head):
        return None
    return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if b"\n" in head else HTTPStatus.REQUEST_URI_TOO_LONG


class BoundedConnection(H11Protocol):
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn: _BoundedReading = _BoundedReading()

    def send_400_response(self, msg: str) -> None:
        """Answers whatever cannot be read, and closes; uvicorn knows one status for it."""
        if self.transport.is_closing():  # TLS may bring more of what was refused
            return
        status = self.conn.refused
        if status is not HTTPStatus.BAD_REQUEST:
            msg = f"{status.phrase}: request line and headers have at most {HEAD_BYTES} bytes together."
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=status.phrase),
            h11.Data(data=msg.encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

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
