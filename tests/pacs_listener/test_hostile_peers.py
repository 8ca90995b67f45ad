"""Peers that stall, lie about lengths, never stop, or hang up: none of them holds the service up."""

from __future__ import annotations

import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation
from pynetdicom import evt
from pynetdicom.events import Event

from pacs_listener import statuses
from pacs_listener.incoming import sweep
from tests.pacs_listener.room import CALLER, Room, associate, close, radiograph, running

_A_ASSOCIATE_RQ, _P_DATA_TF = 0x01, 0x04


def header(kind: int, length: int) -> bytes:
    return struct.pack(">BxL", kind, length)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Room]:
    """Two associations at most, and a second of patience."""
    with running(tmp_path / "home", maximum_associations=2, network_timeout_seconds=1) as room:
        yield room


def connect(room: Room, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", room.port), timeout=10, source_address=(address, 0))


def is_closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


def assert_serves(room: Room) -> None:
    with room.association() as association:
        assert association.is_established
        assert association.send_c_store(radiograph()).Status == statuses.SUCCESS


@pytest.mark.parametrize(
    "opening", [b"", header(_A_ASSOCIATE_RQ, 2**32 - 1), header(_A_ASSOCIATE_RQ, 5000) + b"\0", b"GET / HTTP/1.1\r\n"]
)
def test_many_that_connect_and_stall_leave_room_for_others(small: Room, opening: bytes) -> None:
    with ExitStack() as stack:
        attackers = [stack.enter_context(connect(small, "127.0.0.2")) for _ in range(40)]
        for attacker in attackers:
            attacker.sendall(opening)
        assert_serves(small)
        assert all(is_closed_within(attacker, 5) for attacker in attackers)


def test_requests_that_are_refused_and_linger_take_no_place(small: Room) -> None:
    """The peer takes its A-ASSOCIATE-RJ and never closes."""
    request = _captured_request(small)
    with ExitStack() as stack:
        for _ in range(10):
            attacker = stack.enter_context(connect(small, "127.0.0.2"))
            attacker.sendall(request)
            assert attacker.recv(1) == b"\x03"
        assert_serves(small)


def _captured_request(room: Room) -> bytes:
    """A well-formed A-ASSOCIATE-RQ with a calling AE title that nobody knows."""
    sent: list[bytes] = []
    handlers = [(evt.EVT_DATA_SENT, lambda event: sent.append(event.data))]
    close(associate(room.port, "STRANGER", "PNEUMO", ("1.2.840.10008.1.1",), evt_handlers=handlers))
    return sent[0]


def test_a_pdu_that_is_never_finished_gives_its_place_back(small: Room) -> None:
    with small.association() as first, small.association() as second:
        for association in (first, second):
            association.dul.socket.socket.sendall(header(_P_DATA_TF, 100_000) + b"\0" * 100)
        time.sleep(2.5)
        assert_serves(small)


def test_a_pdu_longer_than_agreed_is_not_read(small: Room) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with small.association() as association:
        connection = association.dul.socket.socket
        connection.sendall(header(_P_DATA_TF, 200 * 1024**2))
        try:
            for _ in range(200):
                connection.sendall(b"\0" * 1024**2)
        except OSError:
            pass
        else:
            pytest.fail("200 MiB in one PDU were taken")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB
    assert_serves(small)


@pytest.mark.parametrize("control", [b"\x01", b"\x00"], ids=["command set", "data set without a command"])
def test_a_message_without_end_is_not_kept_in_memory(small: Room, control: bytes) -> None:
    fragment = b"\x01" + control + b"\0" * 60_000
    pdu = header(_P_DATA_TF, len(fragment) + 4) + struct.pack(">L", len(fragment)) + fragment
    with small.association() as association:
        connection = association.dul.socket.socket
        try:
            for _ in range(300):
                connection.sendall(pdu)
        except OSError:
            pass
        else:
            pytest.fail("18 MB were taken as one message")
    assert_serves(small)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_peer_that_hangs_up_in_the_middle_leaves_nothing(room: Room) -> None:
    sent: list[int] = []
    begun: list[bool] = []

    def pull_the_plug(event: Event) -> None:
        """Once the listener writes: a loopback connection holds a megabyte that nobody has read yet."""
        sent.append(len(event.data))
        if sum(sent) > 1_000_000 and not begun:
            begun.append(wait_until(lambda: room.files() != []))
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)

    handlers = [(evt.EVT_DATA_SENT, pull_the_plug)]
    association = associate(
        room.port, CALLER, "PNEUMO", (DigitalXRayImageStorageForPresentation,), evt_handlers=handlers
    )
    assert "Status" not in association.send_c_store(radiograph(pixels=2000))
    close(association)
    assert begun == [True]
    assert wait_until(lambda: room.files() == [])
    assert room.instances() == []
    assert_serves(room)


def test_the_sweep_takes_what_nobody_writes_to(tmp_path: Path) -> None:
    old, new = tmp_path / "old.dcm", tmp_path / "new.dcm"
    for each in (old, new):
        each.write_bytes(b"half")
    os.utime(old, (time.time() - 100, time.time() - 100))
    assert sweep(tmp_path, idle_seconds=50) == 1
    assert list(tmp_path.iterdir()) == [new]


def test_what_a_killed_process_left_is_cleared_at_the_start(tmp_path: Path) -> None:
    incoming = tmp_path / "spool" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "tmpabc.dcm").write_bytes(b"half of somebody")
    with running(tmp_path) as room:
        assert room.files() == []
        assert_serves(room)
