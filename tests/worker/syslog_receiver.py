"""A receiver of syslog over TCP and TLS, written for these tests: it reads, hangs, breaks down, comes back."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

from tests.worker import audit_schema

_LINE = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<at>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<msgid>\S+) - "
    rb"\xef\xbb\xbf(?P<msg>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Received:
    priority: int
    at: datetime
    app_name: str
    msgid: str
    xml: ET.Element
    """Checked against the schema."""

    @property
    def event(self) -> str:
        found = self.xml.find("EventIdentification/EventID")
        assert found is not None
        return found.attrib["csd-code"]

    @property
    def kind(self) -> str:
        """Our own word for what happened."""
        types = self.xml.findall("EventIdentification/EventTypeCode")
        return next(each.attrib["csd-code"] for each in types if each.attrib["codeSystemName"] == "99PNEUMO")

    @property
    def rows(self) -> list[int]:
        """Ids of the audit events it tells of."""
        for each in self.xml.findall("ParticipantObjectIdentification"):
            code = each.find("ParticipantObjectIDTypeCode")
            if code is not None and code.attrib["csd-code"] == "audit-event":
                return [int(detail.attrib["type"]) for detail in each.findall("ParticipantObjectDetail")]
        return []

    def objects(self, code: str) -> list[ET.Element]:
        found = self.xml.findall("ParticipantObjectIdentification")
        return [
            each for each in found if each.find(f"ParticipantObjectIDTypeCode[@csd-code='{code}']") is not None
        ]  # fmt: skip


def parse(line: bytes) -> Received:
    match = _LINE.fullmatch(line)
    assert match is not None, f"not RFC 5424: {line[:120]!r}"
    at = datetime.fromisoformat(match["at"].decode())
    assert at.tzinfo is not None
    xml = audit_schema.check(match["msg"])
    return Received(int(match["pri"]), at, match["app"].decode(), match["msgid"].decode(), xml)


class Receiver:
    """Listens while it is started; ``messages`` outlive its stops."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.messages: list[Received] = []
        self.failures: list[BaseException] = []
        self.reset_after: int | None = None
        """Hang up in the middle, as a process that is killed, once this many were read."""
        self.reads = True
        self._context, self._port = context, 0
        self._server: socket.socket | None = None
        self._connections: list[socket.socket] = []

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self._port))
        self._port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._server], daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None
        for each in self._connections:
            _kill(each)
        self._connections.clear()

    def wait_for(self, number: int, seconds: float = 15) -> list[Received]:
        deadline = time.monotonic() + seconds
        while len(self.messages) < number:
            assert not self.failures, self.failures
            assert time.monotonic() < deadline, f"{len(self.messages)} of {number} messages came"
            time.sleep(0.01)
        return self.messages

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            while not self.reads:
                time.sleep(0.01)
            self._read(connection)
        except (OSError, ssl.SSLError):
            connection.close()
        except AssertionError as exc:
            self.failures.append(exc)

    def _read(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        while length := _length(file):
            line = file.read(length)
            if len(line) < length:
                return
            self.messages.append(parse(line))
            if self.reset_after is not None and len(self.messages) >= self.reset_after:
                self.reset_after = None
                _kill(connection)
                return


def _length(file: object) -> int:
    digits = b""
    while (char := file.read(1)) not in (b" ", b""):  # type: ignore[attr-defined]
        assert char.isdigit(), f"RFC 6587 3.4.1: a length was expected, got {digits + char!r}"
        digits += char
    return int(digits or b"0")


def _kill(connection: socket.socket) -> None:
    """As the kernel does where a process dies that has not read everything: the peer is sent a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads
    connection.close()


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(context)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        assert not receiver.failures, receiver.failures
