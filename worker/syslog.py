"""Syslog over TCP or TLS (RFC 5424 messages, RFC 6587 and RFC 5425 octet counting), as careful as it can be.

The receiver acknowledges nothing. ``send`` returns when its TCP has everything and has not hung up on us; what it
had taken in and not yet read when it broke down is lost to it. Such an end shows as a reset: ``SinkLost``, after which
the caller sends the latest messages once more.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from core.audit_settings import Syslog
from core.errors import PneumoError
from core.tls import client_context

_CONNECT_SECONDS = 5.0
_SEND_SECONDS = 10.0
_FIRST_WORD_SECONDS = 0.5
"""A TLS 1.3 receiver that does not want our certificate says so after we have begun to send."""
_APP_NAME, _MSGID = "pneumo", "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"  # RFC 5424 6.4: the message is UTF-8
_LOOK_SECONDS = 0.01


class SinkAway(PneumoError):
    """The receiver cannot be reached, or does not take what is sent; ``code`` says how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SinkLost(SinkAway):
    """It broke down in the middle: what it was sent last may not have been read."""


def frame(message: bytes, *, at: datetime, severity: int, facility: int) -> bytes:
    """One syslog message, its length before it."""
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    priority = facility * 8 + severity
    header = f"<{priority}>1 {stamp} {_hostname()} {_APP_NAME} {os.getpid()} {_MSGID} - "
    line = header.encode("ascii") + _BOM + message
    return b"%d %s" % (len(line), line)


def _hostname() -> str:
    """RFC 5424 6.2.4: printable ASCII, 255 at most."""
    return "".join(char for char in socket.gethostname() if "!" <= char <= "~")[:255] or "-"


class Connection:
    """One at a time, kept open between batches; every wait has an end."""

    def __init__(self, syslog: Syslog) -> None:
        self._syslog = syslog
        self._context = client_context(syslog.tls) if syslog.tls is not None else None
        self._socket: socket.socket | None = None

    def send(self, frames: Sequence[bytes]) -> None:
        """Raises SinkAway, or SinkLost where something that was sent may be lost."""
        fresh = False
        if self._socket is not None and self._has_ended(0):
            self.close()
        if self._socket is None:
            self._socket, fresh = self._connect(), True
        try:
            self._socket.settimeout(_SEND_SECONDS)
            self._socket.sendall(b"".join(frames))
            self._wait_until_acknowledged(self._socket)
        except (OSError, ValueError) as exc:
            self.close()
            raise SinkLost("connection_lost") from exc
        if self._has_ended(_FIRST_WORD_SECONDS if fresh and self._context is not None else _LOOK_SECONDS):
            self.close()
            raise SinkLost("connection_closed")

    def probe(self) -> None:
        """Connect and hang up. Raises SinkAway."""
        self._socket = self._connect()
        try:
            if self._has_ended(_FIRST_WORD_SECONDS):
                raise SinkLost("connection_closed")
        finally:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        try:
            plain = socket.create_connection((self._syslog.host, self._syslog.port), _CONNECT_SECONDS)
        except OSError as exc:
            raise SinkAway("no_connection") from exc
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(plain, server_hostname=self._syslog.host) if self._context else plain
        except OSError as exc:
            plain.close()
            raise SinkAway("tls_refused") from exc

    def _has_ended(self, seconds: float) -> bool:
        """Whether the receiver has hung up. Raises SinkLost where it was cut off: it had not read everything."""
        assert self._socket is not None  # noqa: S101 - asked of an open connection alone
        try:
            if not select.select([self._socket], [], [], seconds)[0]:
                return False
            self._socket.settimeout(_LOOK_SECONDS)
            return self._socket.recv(4096) == b""  # what receivers say is nothing to us, tickets of TLS 1.3 included
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError) as exc:
            self.close()
            raise SinkLost("connection_reset") from exc

    def _wait_until_acknowledged(self, connection: socket.socket) -> None:
        """Until the receiver's TCP has it all. Raises TimeoutError."""
        if sys.platform != "linux":
            return
        deadline = time.monotonic() + _SEND_SECONDS
        while _unacknowledged_bytes(connection):
            if time.monotonic() > deadline:
                raise TimeoutError("the receiver's TCP takes nothing more")
            time.sleep(0.001)


def _unacknowledged_bytes(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)  # tcp(7): SIOCOUTQ
    return int(struct.unpack("i", answer)[0])
