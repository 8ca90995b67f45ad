"""Modalities told which of their instances we have: Orthanc, and one that answers as it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from sqlalchemy import select, update

from audit.commitments import book_request
from audit.models import AuditEvent, CommitmentRequest, CommitmentState, now
from core.commitment import PUSH_MODEL, Report, read_report
from core.settings import DeliverySettings, ListenerSettings, Source
from pacs_listener.server import build_server
from tests.pacs_listener.room import WatchingWaker
from tests.services import free_port
from tests.worker.orthanc import committing_orthanc
from tests.worker.rooms import Rooms, rooms
from worker.commitment import CommitmentAnswers

DX = "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    """Holds one instance, 1.2.3.1."""
    with rooms(tmp_path) as made:
        made.book(b"x", sop_instance_uid="1.2.3.1")
        yield made


@contextmanager
def modality(answer: Callable[[Report], int]) -> Iterator[Source]:
    ae = AE(ae_title="XRAY1")
    ae.require_calling_aet = ["PNEUMO"]
    ae.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)  # as a caller's

    def take(event: evt.Event) -> tuple[int, None]:
        return answer(read_report(event.event_information)), None

    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, take)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Source(name="room 1", ae_titles=("XRAY1",), host="127.0.0.1", port=server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def book(house: Rooms, *transaction_uids: str) -> None:
    with house.database.write() as session:
        for transaction_uid in transaction_uids:
            book_request(
                session, transaction_uid=transaction_uid, source="room 1", calling_ae_title="XRAY1",
                called_ae_title="PNEUMO", references=[(DX, "1.2.3.1"), (DX, "1.2.3.2")],
            )  # fmt: skip


def answers(house: Rooms, *sources: Source, **delivery: float) -> CommitmentAnswers:
    policy = DeliverySettings.model_validate({"first_retry_seconds": 60, **delivery})
    return CommitmentAnswers(house.settings.model_copy(update={"sources": sources, "delivery": policy}), house.database)


def ends(house: Rooms) -> list[tuple[CommitmentState, str | None]]:
    with house.database.read() as session:
        rows = session.scalars(select(CommitmentRequest).order_by(CommitmentRequest.id))
        return [(row.state, row.last_error) for row in rows]


def test_a_modality_hears_of_all_its_requests_on_one_association_in_the_provider_role(house: Rooms) -> None:
    heard: list[Report] = []
    statuses = iter([0x0000, 0x0110, 0x0112])

    def answer(report: Report) -> int:
        heard.append(report)
        return next(statuses)

    book(house, "2.25.1", "2.25.2", "2.25.3")
    with modality(answer) as source:
        assert answers(house, source).drain() is False
    assert [report.transaction_uid for report in heard] == ["2.25.1", "2.25.2", "2.25.3"]
    assert {(report.committed, report.failed, report.event_type) for report in heard} == {
        (((DX, "1.2.3.1"),), ((DX, "1.2.3.2", 0x0112),), 2)
    }
    assert ends(house) == [
        (CommitmentState.ANSWERED, None),
        (CommitmentState.PENDING, "report_refused_0x0110"),
        (CommitmentState.DEAD, "report_refused_0x0112"),
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_who_cannot_be_reached_is_tried_again_and_given_up_in_the_end(house: Rooms) -> None:
    book(house, "2.25.1")
    down = Source(name="room 1", ae_titles=("XRAY1",), host="127.0.0.1", port=free_port())
    answers(house, down).drain()
    assert ends(house) == [(CommitmentState.PENDING, "no_association")]
    with house.database.write() as session:
        session.execute(update(CommitmentRequest).values(due_at=now()))
    answers(house, down, give_up_after_days=1e-9).drain()
    assert ends(house) == [(CommitmentState.DEAD, "gave_up_after_no_association")]


def test_a_source_without_an_address_is_not_waited_for(house: Rooms) -> None:
    book(house, "2.25.1")
    answers(house, Source(name="room 1", ae_titles=("XRAY1",))).drain()
    assert ends(house) == [(CommitmentState.DEAD, "no_address")]
    with house.database.read() as session:
        assert session.scalars(select(AuditEvent.kind).order_by(AuditEvent.id)).all()[-1] == "commitment.dead"


def test_orthanc_asks_and_hears(house: Rooms, tmp_path: Path) -> None:
    port = free_port()
    with committing_orthanc(tmp_path / "orthanc", port) as orthanc:
        source = Source(name="orthanc", ae_titles=("ORTHANC",), host="127.0.0.1", port=orthanc.port)
        settings = house.settings.model_copy(
            update={"sources": (source,), "listener": ListenerSettings(port=port, disk_reserve_bytes=0)}
        )
        listener = build_server(settings, house.database, house.spool, WatchingWaker(house.database, house.spool))
        listener.start()
        try:
            whole = orthanc.ask_for_commitment([(DX, "1.2.3.1")])
            partial = orthanc.ask_for_commitment([(DX, "1.2.3.1"), (DX, "1.2.3.2")])
            deadline = time.monotonic() + 10
            while len(ends(house)) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            CommitmentAnswers(settings, house.database).drain()
        finally:
            listener.shutdown()
        assert [orthanc.commitment(each)["Status"] for each in (whole, partial)] == ["Success", "Failure"]
        (failure,) = orthanc.commitment(partial)["Failures"]
        assert failure["SOPInstanceUID"] == "1.2.3.2"
    assert ends(house) == [(CommitmentState.ANSWERED, None)] * 2
