"""Connections that cannot hold the service up: bounded PDUs, deadlines, and no thread spent on peers that say nothing.

Stock pynetdicom reads whatever length a PDU claims, waits for it without end, and shakes TLS hands in the thread that
accepts connections. Here a connection becomes an association only once its first PDU has arrived whole, in a thread of
its own. Pinned to pynetdicom 3.0.4: the socket is exchanged inside ``RequestHandler._create_association``.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from core.logs import describe, get_logger

log = get_logger("listener")

_PDU_HEADER = struct.Struct(">BxL")  # PS3.8 9.3.1: type, reserved, length of what follows
_A_ASSOCIATE_RQ = 0x01
_SLACK_BYTES = 1024
"""PS3.8 D.1.1: the maximum length counts a PDU's variable field; some senders leave their PDV headers out of it."""
_MESSAGE_BYTES = 64 * 1024
"""Of a DIMSE message that pynetdicom keeps in memory: command sets, and data sets that nobody asked for."""
_MESSAGES_AHEAD = 8
"""PS3.7 D.3.3.3: without an asynchronous window, which is never granted, a peer waits for each answer."""
_ROOM_CHECKED_EVERY = 64 * 1024**2
_OPENINGS_PER_ADDRESS = 16


class PeerMisbehaved(OSError):
    """pynetdicom takes an OSError while reading for a lost connection and ends the association."""


@dataclass(frozen=True, slots=True)
class Limits:
    pdu_bytes: int
    pdu_seconds: float
    """For each PDU, once it has begun."""
    opening_seconds: float
    """For the TLS handshake, and for the first PDU."""
    has_room: Callable[[], bool]
    """Asked while a data set arrives: is there disk for more?"""


def receive_exactly(connection: socket.socket, length: int, seconds: float) -> bytearray:
    """Raises OSError when the peer hangs up, or has not sent it all in time."""
    content = bytearray(length)
    rest = memoryview(content)
    deadline = time.monotonic() + seconds
    while rest:
        # A timeout of zero or less would mean another mode of the socket.
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        count = connection.recv_into(rest)
        if count == 0:
            raise ConnectionResetError("the peer hung up")
        if time.monotonic() > deadline:
            raise TimeoutError("the peer took too long")
        rest = rest[count:]
    return content


class BoundedSocket(AssociationSocket):
    """Gives pynetdicom the first PDU, read already, and then only PDUs within the limits."""

    def __init__(self, association: Association, connection: socket.socket, first_pdu: bytes, limits: Limits) -> None:
        super().__init__(association, client_socket=connection)
        self._unread, self._limits = first_pdu, limits
        self._until_room_is_checked = _ROOM_CHECKED_EVERY

    @property
    def ready(self) -> bool:
        return bool(self._unread and self._is_connected) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        if self._unread:
            head, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
            return bytearray(head)
        if self.socket is None:
            raise ConnectionResetError("the connection is closed")
        self._check(nr_bytes)
        return receive_exactly(self.socket, nr_bytes, self._limits.pdu_seconds)

    def _shutdown_socket(self) -> None:
        """pynetdicom does not close what it cannot shut down, such as a connection the peer has left."""
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:
            connection.close()

    def _check(self, nr_bytes: int) -> None:
        if nr_bytes > self._limits.pdu_bytes + _SLACK_BYTES:
            raise PeerMisbehaved(f"a PDU of {nr_bytes} bytes, {self._limits.pdu_bytes} were agreed")
        dimse = self.assoc.dimse
        if dimse.msg_queue.qsize() > _MESSAGES_AHEAD:
            raise PeerMisbehaved("messages are sent without waiting for answers")
        if dimse.message is not None:
            held = (dimse.message.encoded_command_set, dimse.message.data_set)
            if sum(buffer.tell() for buffer in held if buffer is not None) > _MESSAGE_BYTES:
                raise PeerMisbehaved("a message without end")
        self._until_room_is_checked -= nr_bytes
        if self._until_room_is_checked <= 0:
            self._until_room_is_checked = _ROOM_CHECKED_EVERY
            if not self._limits.has_room():
                raise PeerMisbehaved("the disk reserve was reached while a data set arrived")


class ListenerServer(ThreadedAssociationServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        self.limits = limits
        self._openings: Counter[str] = Counter()
        self._openings_lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """TLS begins in the connection's own thread: nobody waits for another's handshake."""
        return cast("socket.socket", self.socket).accept()

    @contextmanager
    def opening(self, address: str) -> Iterator[None]:
        """The time before a connection is an established association, of which an address has a few at once."""
        unestablished = sum(
            not association.is_established and association.requestor.address == address
            for association in self.active_associations
        )
        with self._openings_lock:
            if self._openings[address] + unestablished >= _OPENINGS_PER_ADDRESS:
                raise PeerMisbehaved("too many connections that are no associations")
            self._openings[address] += 1
        try:
            yield
        finally:
            with self._openings_lock:
                self._openings[address] -= 1
                if not self._openings[address]:
                    del self._openings[address]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's hook
        """The base class prints a traceback with whatever the exception quotes."""
        exc = sys.exception()
        if exc is not None:
            log.error("connection_failed", address=client_address[0], **describe(exc))

    def shutdown(self) -> None:
        """pynetdicom's own also takes the server off a list that only ``AE.start_server`` puts it on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()


class Connection(RequestHandler):
    """One connection, in its own thread until it is an association."""

    server: ListenerServer

    def handle(self) -> None:
        address = self.client_address[0]
        try:
            with self.server.opening(address):
                self._shake_hands()
                self._first_pdu = self._read_first_pdu()
                super().handle()
        except OSError as exc:
            if not isinstance(exc, ConnectionResetError):  # load balancers and monitors knock and go
                log.info("connection_dropped", address=address, **describe(exc))
            self.server.shutdown_request(self.request)

    def _shake_hands(self) -> None:
        if self.server.ssl_context is not None:
            self.request.settimeout(self.server.limits.opening_seconds)
            self.request = self.server.ssl_context.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
            self.request.do_handshake()

    def _read_first_pdu(self) -> bytes:
        limits = self.server.limits
        header = receive_exactly(self.request, _PDU_HEADER.size, limits.opening_seconds)
        kind, length = _PDU_HEADER.unpack(header)
        if kind != _A_ASSOCIATE_RQ or length > limits.pdu_bytes:
            raise PeerMisbehaved("the first PDU is no A-ASSOCIATE-RQ")
        return bytes(header + receive_exactly(self.request, length, limits.opening_seconds))

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # the exchanged socket has announced the connection; ours does, too
        association.dul.socket = BoundedSocket(association, self.request, self._first_pdu, self.server.limits)
        association.dul.daemon = True
        return association


def tls_context(certificate: Path, key: Path, ca: Path | None) -> ssl.SSLContext:
    """Raises OSError (or its subclass ssl.SSLError) when a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # PS3.15 B.9: BCP 195
    context.load_cert_chain(certificate, key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
