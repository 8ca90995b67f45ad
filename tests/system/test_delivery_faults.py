"""PACS that fail in every way we know: each delivery ends in the right state, nothing is lost, nothing is kept twice.

What an answer means by itself stands in tests/worker/test_c_store.py and test_stow.py; here it is the delivery table
that is looked at, during the fault and once it is over.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import ComprehensiveSRStorage
from pynetdicom import evt
from sqlalchemy import select

from audit.deliveries import DeliveryFilter, requeue_deliveries
from audit.models import AuditEvent, Delivery, now
from core.destinations import Destination, DICOMDestination, DICOMwebDestination
from core.records import DeliveryState
from tests.services import free_port
from tests.worker.pacs import Answer, FakePACS, abort, pacs, status
from tests.worker.peers import Reply, Request, web_peer
from tests.worker.rooms import Rooms, rooms
from tests.worker.test_outbox import add_results, deliveries
from tests.worker.test_stow import all_stored, as_json, part_of, uid_in
from worker.outbox import Outbox

PENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DEAD

# pynetdicom drops the socket of a failed connection instead of closing it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    """A picture and a report are due at ``pacs``."""
    with rooms(tmp_path) as made:
        add_results(made, 1, ["pacs"])
        yield made


@dataclass
class Peer:
    destination: Destination
    received: list[bytes]
    """Data sets or files in the order of their arrival, whatever was answered."""


class PACS:
    """One server for all tests, since it takes half a second to stop; each tells it how to answer."""

    def __init__(self, fake: FakePACS) -> None:
        self._fake, self.answer = fake, status(0x0000)

    def answering(self, answer: Answer) -> Peer:
        self.answer = answer
        self._fake.stored.clear()
        return Peer(self._fake.destination.model_copy(update={"timeout_seconds": 2}), self._fake.stored)


@pytest.fixture(scope="module")
def server() -> Iterator[PACS]:
    def answer(event: evt.Event) -> int:
        return made.answer(event)

    with pacs(answer) as fake:
        made = PACS(fake)
        yield made


MakePeer = Callable[[PACS], AbstractContextManager[Peer]]


def dicom(answer: Answer) -> MakePeer:
    return lambda server: nullcontext(server.answering(answer))


@contextmanager
def without_reports(_server: PACS) -> Iterator[Peer]:
    with pacs(status(0x0000), accepts_reports=False) as fake:
        yield Peer(fake.destination, fake.stored)


def web(reply: Callable[[Request], Reply]) -> MakePeer:
    @contextmanager
    def make(_server: PACS) -> Iterator[Peer]:
        received: list[bytes] = []

        def take(request: Request) -> Reply:
            received.append(part_of(request))
            return reply(request)

        with web_peer(take) as peer:
            yield Peer(DICOMwebDestination(type="dicomweb", name="pacs", url=peer.url, timeout_seconds=2), received)

    return make


def down(_server: PACS | None = None) -> AbstractContextManager[Peer]:
    gone = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port(), timeout_seconds=1)
    return nullcontext(Peer(gone, []))


def to_reports(code: int) -> Answer:
    """Pictures are stored, reports are answered so."""
    return lambda event: code if event.request.AffectedSOPClassUID == ComprehensiveSRStorage else 0x0000


def hang_up(event: evt.Event) -> int:
    """TCP ends without A-ABORT."""
    connection = event.assoc.dul.socket
    assert connection is not None
    connection.close()
    return 0x0000


def never(event: evt.Event) -> int:
    """No answer while the other side waits for one."""
    waiting = threading.Event()
    for _ in range(500):
        if not event.assoc.is_established:
            break
        waiting.wait(0.02)
    return 0x0000


def accepted_but(reason: int) -> Callable[[Request], Reply]:
    """202 Accepted with one failure, that of the report (PS3.18 10.5.3)."""

    def reply(request: Request) -> Reply:
        if ComprehensiveSRStorage.encode() in request.body:
            return Reply(202, as_json("00081198", uid_in(request), _00081197=reason))
        return Reply(200, as_json("00081199", uid_in(request)))

    return reply


def busy(_request: Request) -> Reply:
    return Reply(503, headers={"Retry-After": "120"})


End = tuple[DeliveryState, int | None, str | None]
STORED: End = (SENT, 0x0000, None)
FAULTS: dict[str, tuple[MakePeer, End, End, tuple[int, int]]] = {
    # what the PACS does: the end of the picture, the end of the report, how often each arrived
    "accepts no report": (
        without_reports, STORED, (DEAD, None, "no_accepted_context"), (1, 0),
    ),
    "answers a report with 0xC000": (
        dicom(to_reports(0xC000)), STORED, (DEAD, 0xC000, "cannot_understand"), (1, 1),
    ),
    "answers 0xB000": (dicom(status(0xB000)), (SENT, 0xB000, None), (SENT, 0xB000, None), (1, 1)),
    "answers 0xA700": (
        dicom(status(0xA700)), (PENDING, 0xA700, "out_of_resources"), (PENDING, 0xA700, "out_of_resources"), (1, 1),
    ),
    "takes it and aborts": (
        dicom(abort), (PENDING, None, "no_answer"), (PENDING, None, "association_lost"), (1, 0),
    ),
    "takes it and hangs up": (
        dicom(hang_up), (PENDING, None, "no_answer"), (PENDING, None, "association_lost"), (1, 0),
    ),
    "takes it and never answers": (
        dicom(never), (PENDING, None, "no_answer"), (PENDING, None, "association_lost"), (1, 0),
    ),
    "is down": (down, (PENDING, None, "no_association"), (PENDING, None, "no_association"), (0, 0)),
    "STOW-RS: 202, the report out of resources": (
        web(accepted_but(0xA700)), STORED, (PENDING, 0xA700, "out_of_resources"), (1, 1),
    ),
    "STOW-RS: 202, the report not understood": (
        web(accepted_but(0xC000)), STORED, (DEAD, 0xC000, "cannot_understand"), (1, 1),
    ),
    "STOW-RS: 503": (web(busy), (PENDING, 503, "http_503"), (PENDING, 503, "http_503"), (1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_its_state_and_once_it_is_over_everything_is_there_once(
    house: Rooms, server: PACS, fault: str
) -> None:
    make, *ends, arrived = FAULTS[fault]
    with make(server) as peer:
        drain(house, peer)
        assert [(row.state, row.last_status, row.last_error) for row in deliveries(house)] == ends
        assert {row.attempts for row in deliveries(house)} == {1}
        received = list(peer.received)
        assert counted(house, received) == dict(zip(sop_instance_uids(house), arrived, strict=True))
        drain(house, peer)
        assert len(peer.received) == len(received), "what waits or is dead was sent again"

    with house.database.write() as session:
        requeue_deliveries(session, DeliveryFilter(state=DEAD), "administrator")
        for row in session.scalars(select(Delivery).where(Delivery.state == PENDING)):
            row.due_at = now()
    unsent = [row.result_object.sop_instance_uid for row in deliveries(house) if row.state is PENDING]
    well: MakePeer = web(all_stored) if fault.startswith("STOW-RS") else dicom(status(0x0000))
    with well(server) as peer:
        drain(house, peer)
        drain(house, peer)
        assert counted(house, peer.received) == {uid: int(uid in unsent) for uid in sop_instance_uids(house)}
        received += peer.received
    assert {row.state for row in deliveries(house)} == {SENT}
    # What arrived and was not answered arrives again, under its UID and with its bytes, which is one object to a PACS.
    assert all(counted(house, received).values())


def test_a_pacs_that_is_down_for_hours_is_asked_ever_more_rarely_and_then_has_it(house: Rooms, server: PACS) -> None:
    pauses: list[float] = []
    with down() as gone:
        while sum(pauses) < 5 * 3600:
            drain(house, gone)
            pauses.append(let_the_pause_pass(house))
    assert 20 > len(pauses) > 10
    assert all(8 * 2**number <= pauses[number] <= 12 * 2**number for number in range(8))
    assert max(pauses) <= 1.2 * 3600
    assert {(row.state, row.attempts) for row in deliveries(house)} == {(PENDING, len(pauses))}
    assert "delivery.dead" not in [event.kind for event in events(house)]
    with dicom(status(0x0000))(server) as peer:
        drain(house, peer)
        assert counted(house, peer.received) == dict.fromkeys(sop_instance_uids(house), 1)
    assert {(row.state, row.last_error) for row in deliveries(house)} == {(SENT, None)}


def test_it_is_given_up_after_a_week_with_an_event_and_requeued_by_hand(house: Rooms, server: PACS) -> None:
    with down() as gone:
        for age, state in ((timedelta(days=6.9), PENDING), (timedelta(days=7.1), DEAD)):
            with house.database.write() as session:
                for row in session.scalars(select(Delivery)):
                    row.due_at, row.first_due_at = now(), now() - age
            drain(house, gone)
            assert {row.state for row in deliveries(house)} == {state}
    assert {row.last_error for row in deliveries(house)} == {"gave_up_after_no_association"}
    dead = [event for event in events(house) if event.kind == "delivery.dead"]
    assert [event.subject for event in dead] == sop_instance_uids(house)
    assert {(event.data["destination"], event.data["attempts"]) for event in dead} == {("pacs", 2)}

    with dicom(status(0x0000))(server) as peer:
        drain(house, peer)
        assert peer.received == [], "what is dead is not sent by itself"
        with house.database.write() as session:
            requeue_deliveries(session, DeliveryFilter(state=DEAD), "administrator")
        drain(house, peer)
        assert counted(house, peer.received) == dict.fromkeys(sop_instance_uids(house), 1)
    assert {row.state for row in deliveries(house)} == {SENT}


def drain(house: Rooms, peer: Peer) -> None:
    settings = house.settings.model_copy(update={"destinations": (peer.destination,)})
    assert Outbox(settings, house.database, house.spool).drain() is False


def let_the_pause_pass(house: Rooms) -> float:
    """Everything that is pending becomes that much older; returns the longest pause, in seconds."""
    with house.database.write() as session:
        rows = session.scalars(select(Delivery).where(Delivery.state == PENDING)).all()
        pause = max(row.due_at for row in rows if row.due_at is not None) - now()
        for row in rows:
            assert row.due_at is not None
            assert row.first_due_at is not None
            row.due_at, row.first_due_at = row.due_at - pause, row.first_due_at - pause
    return pause.total_seconds()


def sop_instance_uids(house: Rooms) -> list[str]:
    """Of the picture and the report."""
    return [row.result_object.sop_instance_uid for row in deliveries(house)]


def counted(house: Rooms, received: list[bytes]) -> dict[str, int]:
    """How often each object arrived, byte by byte what is kept in our spool."""
    files = {
        row.result_object.sop_instance_uid: house.spool.read(row.result_object.spool_name) for row in deliveries(house)
    }
    counts = Counter(uid for content in received for uid, file in files.items() if file.endswith(content))
    assert counts.total() == len(received), "something arrived that is none of our files"
    return {uid: counts[uid] for uid in files}


def events(house: Rooms) -> list[AuditEvent]:
    with house.database.read() as session:
        return list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
