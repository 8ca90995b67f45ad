"""Storage commitment at our port: requests of modalities, reports of destinations."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from sqlalchemy import select

from audit.deliveries import claim_deliveries, mark_sent
from audit.models import AuditEvent, CommitmentRequest, CommitmentState, Delivery, now
from core.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Report, read_report, report_data_set, request_data_set
from core.destinations import DICOMDestination
from core.records import DeliveryState
from core.settings import Source
from pacs_listener import statuses
from pacs_listener.server import build_server
from tests.audit.rows import analysed, report
from tests.pacs_listener.room import Room, WatchingWaker, close, radiograph, running

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", confirm="commitment")
SOURCES = (
    Source(name="reachable", ae_titles=("REACHABLE",), host="127.0.0.1", port=104),
    Source(name="silent", ae_titles=("SILENT",)),
)

Called = tuple[Association, "queue.Queue[Report]"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Room]:
    """With a PACS that results go to, and that may report what it commits to."""
    with running(tmp_path / "home", sources=SOURCES) as room:
        room.listener.shutdown()
        settings = room.settings.model_copy(update={"destinations": (PACS,)})
        room.listener = build_server(settings, room.database, room.spool, WatchingWaker(room.database, room.spool))
        room.listener.start()
        try:
            yield Room(settings, room.database, room.spool, room.waker, room.listener)
        finally:
            room.listener.shutdown()


@contextmanager
def calling(house: Room, title: str, *sop_classes: str, scp: bool = False) -> Iterator[Called]:
    """An association, and the reports that come on it."""
    reports: queue.Queue[Report] = queue.Queue()

    def take(event: evt.Event) -> tuple[int, None]:
        reports.put(read_report(event.event_information))
        return 0x0000, None

    ae = AE(ae_title=title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    for sop_class in sop_classes or (PUSH_MODEL,):
        ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = ae.associate(
        "127.0.0.1", house.port, ae_title="PNEUMO", evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)],
        ext_neg=[build_role(PUSH_MODEL, scp_role=True)] if scp else [],
    )  # fmt: skip
    try:
        yield association, reports
    finally:
        if association.is_established:
            association.release()
        close(association)


def act(association: Association, action: Dataset | None, kind: int = 1, instance: str = PUSH_MODEL_INSTANCE) -> int:
    answer, _ = association.send_n_action(action, kind, PUSH_MODEL, instance)
    return int(answer.Status)


def other_words() -> Dataset:
    dataset = Dataset()
    dataset.RetrieveAETitle = "PACS"
    return dataset


def requests(house: Room) -> list[CommitmentRequest]:
    with house.database.read() as session:
        return list(session.scalars(select(CommitmentRequest).order_by(CommitmentRequest.id)))


def deliveries(house: Room) -> list[Delivery]:
    with house.database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def test_a_request_is_kept_before_it_is_answered(house: Room) -> None:
    with calling(house, "REACHABLE") as (association, reports):
        assert act(association, request_data_set("2.25.1", [("1.2", "1.2.3"), ("1.2", "1.2.4")])) == 0x0000
        (row,) = requests(house)
        assert act(association, request_data_set("2.25.1", [("1.2", "1.2.3")])) == 0x0000
    assert (row.source, row.calling_ae_title, row.called_ae_title) == ("reachable", "REACHABLE", "PNEUMO")
    assert row.references == {"instances": [["1.2", "1.2.3"], ["1.2", "1.2.4"]]}
    assert row.due_at is not None
    assert row.due_at <= now()
    assert len(requests(house)) == 1, "the same request twice is one"
    assert reports.empty(), "it is reported on an association of its own"


def test_requests_that_make_no_sense_are_refused_as_ps3_7_has_it(house: Room) -> None:
    nothing, no_uid = request_data_set("2.25.1", []), request_data_set("2.25.1", [("1.2", "1.2.3")])
    no_uid.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1..2"
    good = request_data_set("2.25.1", [("1.2", "1.2.3")])
    with calling(house, "REACHABLE") as (association, _):
        assert act(association, nothing) == 0x0115
        assert act(association, no_uid) == 0x0115
        assert act(association, other_words()) == 0x0115
        assert act(association, None) == 0x0115
        assert act(association, good, kind=2) == 0x0123
        assert act(association, good, instance="1.2.3") == 0x0112
    assert requests(house) == []
    assert {event.data["status"] for event in house.events("commitment.refused")} == {"0x0115", "0x0123", "0x0112"}


def test_a_modality_without_an_address_is_told_on_its_association(house: Room) -> None:
    image = radiograph()
    with calling(house, "SILENT", PUSH_MODEL, DigitalXRayImageStorageForPresentation) as (association, reports):
        assert association.send_c_store(image).Status == statuses.SUCCESS
        held = (str(image.SOPClassUID), str(image.SOPInstanceUID))
        assert act(association, request_data_set("2.25.2", [held, ("1.2", "1.2.3")])) == 0x0000
        assert reports.get(timeout=5) == Report("2.25.2", (held,), (("1.2", "1.2.3", 0x0112),))
        (event,) = house.events("commitment.answered")
    assert event.data == {"held": 1, "missing": 1}
    assert [row.state for row in requests(house)] == [CommitmentState.ANSWERED]


def test_a_modality_that_releases_at_once_is_not_held_up(house: Room) -> None:
    with calling(house, "SILENT") as (association, _):
        assert act(association, request_data_set("2.25.3", [("1.2", "1.2.3")])) == 0x0000
        association.release()
        assert association.is_released
    assert len(requests(house)) == 1


def test_a_destination_may_report_and_echo_and_no_more(house: Room) -> None:
    classes = (PUSH_MODEL, DigitalXRayImageStorageForPresentation, "1.2.840.10008.1.1")
    with calling(house, "PACS", *classes) as (association, _):
        assert {context.abstract_syntax for context in association.accepted_contexts} == {PUSH_MODEL, classes[2]}
        assert association.send_c_echo().Status == 0x0000
        assert act(association, request_data_set("2.25.1", [("1.2", "1.2.3")])) == 0x0124
    with calling(house, "PACS", scp=True) as (association, _):
        (context,) = association.accepted_contexts
        assert (context.as_scp, context.as_scu) == (True, False)
    assert requests(house) == []


def test_reports_settle_deliveries_however_often_they_come(house: Room) -> None:
    analysed(house.database)
    report(house.database)
    with house.database.write() as session:
        for job in claim_deliveries(session, 32, 60):
            mark_sent(session, job, 0x0000, confirm_after_seconds=0)
        session.query(Delivery).update({"transaction_uid": "2.25.7"})
        objects = [(each.result_object.sop_class_uid, each.result_object.sop_instance_uid)
                   for each in session.query(Delivery).order_by(Delivery.id)]  # fmt: skip
    here, gone = objects
    settled = Report("2.25.7", (here,), ((*gone, 0x0112),))
    with calling(house, "PACS", scp=True) as (association, _):
        for each, kind, status in (
            (settled, 2, 0x0000),
            (settled, 2, 0x0000),
            (Report("2.25.8", (gone,), ()), 1, 0x0000),
            (settled, 3, 0x0113),
        ):
            answer, _ = association.send_n_event_report(report_data_set(each), kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)
            assert answer.Status == status
        answer, _ = association.send_n_event_report(other_words(), 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        assert answer.Status == 0x0115
    assert [row.state for row in deliveries(house)] == [DeliveryState.CONFIRMED, DeliveryState.PENDING]
    assert [event.subject for event in house.events("commitment.unknown")] == ["2.25.8"]
    with calling(house, "REACHABLE") as (association, _):
        answer, _ = association.send_n_event_report(
            report_data_set(settled), 2, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )  # fmt: skip
        assert answer.Status == 0x0124, "a source is no destination"


def test_reports_without_end_end_the_association(house: Room) -> None:
    with calling(house, "PACS", scp=True) as (association, _):
        (context,) = association.accepted_contexts
        message = report_message(Report("2.25.1", (("1.2", "1.2.3"),), ()))
        with house.database.write() as session:
            session.execute(select(1))  # takes the write lock: no report is done before the end of this block
            for _ in range(20):
                if association.is_established:
                    association.dimse.send_msg(message, context.context_id)
            until_aborted(association)


def report_message(about: Report) -> N_EVENT_REPORT:
    message = N_EVENT_REPORT()
    message.MessageID, message.EventTypeID = 1, about.event_type
    message.AffectedSOPClassUID, message.AffectedSOPInstanceUID = PUSH_MODEL, PUSH_MODEL_INSTANCE
    message.EventInformation = BytesIO(
        encode(report_data_set(about), is_implicit_vr=False, is_little_endian=True) or b""
    )
    return message


def until_aborted(association: Association) -> None:
    deadline = time.monotonic() + 5
    while not association.is_aborted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nobody_else_gets_in_by_what_is_configured_now(house: Room) -> None:
    with calling(house, "STRANGER") as (association, _):
        assert association.is_rejected
    (event,) = house.events("association.refused")
    assert event.data["cause"] == "calling_ae_title_unknown"
    with house.database.read() as session:
        assert session.scalars(select(AuditEvent).where(AuditEvent.kind.like("commitment.%"))).all() == []
