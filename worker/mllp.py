"""HL7 v2 messages over MLLP: a connection for each message, closed after its acknowledgment."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache

from core.destinations import HL7Destination
from core.records import DeliveryJob
from core.spool import Spool
from core.tls import client_context
from worker import hl7
from worker.answers import NO_ANSWER, Answer, Refused, Sent, Unavailable, in_turn

# HL7 Transport Specification: MLLP, Release 1
_START, _END = b"\x0b", b"\x1c\r"
_LONGEST_ACKNOWLEDGMENT = 65_536

# HL7 2.5.1 chapter 2, table 0008. 2.9.2.2: AE is about what the message says, AR mostly about the receiver's own state.
# 2.9.3.2, enhanced mode, which we do not ask for: CR is for a version or type that is not taken, CE for all else.
_FATES: dict[str, Answer] = {
    "AA": Sent(0),
    "CA": Sent(0),
    "AE": Refused("application_error", permanent=True),
    "AR": Refused("application_reject", permanent=False),
    "CE": Refused("commit_error", permanent=False),
    "CR": Refused("commit_reject", permanent=True),
}


def deliver(
    deliveries: Sequence[DeliveryJob], destination: HL7Destination, spool: Spool
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each in order and yield its answer before the next is sent."""

    @cache
    def context() -> ssl.SSLContext | None:
        return client_context(destination.tls) if destination.tls is not None else None

    def send(delivery: DeliveryJob) -> Answer:
        message = hl7.addressed(spool.read(delivery.spool_name), destination)
        return _fate(message, _exchange(message, destination, context()))

    return in_turn(deliveries, send)


def _fate(message: bytes, answer: bytes) -> Answer:
    acknowledgment = hl7.acknowledgment(answer)
    if acknowledgment is None:
        return NO_ANSWER
    code, control_id = acknowledgment
    if control_id != hl7.control_id(message):
        return NO_ANSWER  # it speaks of another message
    return _FATES.get(code, NO_ANSWER)


def _exchange(message: bytes, destination: HL7Destination, context: ssl.SSLContext | None) -> bytes:
    """Raises Unavailable where no whole answer comes in time."""
    try:
        connection = socket.create_connection((destination.host, destination.port), destination.timeout_seconds)
    except OSError as exc:
        raise Unavailable("no_connection") from exc
    with closing(connection):
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_hostname=destination.host)
            with closing(connection):
                connection.sendall(_START + message + _END)
                return _receive(connection, destination.timeout_seconds)
        except ssl.SSLError as exc:
            raise Unavailable("tls_refused") from exc
        except OSError as exc:
            raise Unavailable("no_answer") from exc


def _receive(connection: socket.socket, seconds: float) -> bytes:
    """The first block, however many pieces it comes in."""
    deadline, received = time.monotonic() + seconds, b""
    while _END[:1] not in received:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(4096)
        received += part
        if not part or len(received) > _LONGEST_ACKNOWLEDGMENT:
            raise Unavailable("no_answer")
    return received.partition(_START)[2].partition(_END[:1])[0]
