"""Destinations asked whether they have what they took: Orthanc, and PACS that answer as they are told to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE, evt
from sqlalchemy import select, update

from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.models import AuditEvent, Delivery, now
from audit.studies import release_idle_studies
from core.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    Report,
    Request,
    read_request,
    report_data_set,
)
from core.destinations import Destination, DICOMDestination, DICOMwebDestination
from core.records import Analysis, DeliveryState, Finding, Outcome, ResultKind, ResultObject
from core.settings import ListenerSettings, Settings
from pacs_listener.server import build_server
from tests.pacs_listener.room import WatchingWaker
from tests.services import free_port
from tests.worker.orthanc import CommittingOrthanc, committing_orthanc
from tests.worker.rooms import Rooms, rooms
from tests.worker.test_outbox import MODEL
from worker.confirmation import Confirmations
from worker.outbox import Outbox

OUR_PORT = free_port()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommittingOrthanc]:
    with committing_orthanc(tmp_path_factory.mktemp("orthanc") / "pacs", OUR_PORT) as server:
        yield server


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


def configured(house: Rooms, *destinations: Destination) -> Settings:
    listener = ListenerSettings(port=OUR_PORT, disk_reserve_bytes=0)
    return house.settings.model_copy(update={"destinations": destinations, "listener": listener})


def dicom(port: int, confirm: str, ae_title: str = "ORTHANC") -> DICOMDestination:
    return DICOMDestination.model_validate(
        {"name": "pacs", "ae_title": ae_title, "host": "127.0.0.1", "port": port, "confirm": confirm,
         "timeout_seconds": 5, "objects": ["secondary_capture"]}
    )  # fmt: skip


def add_pictures(house: Rooms, number: int) -> None:
    """Pictures of one study for the PACS, due to be sent."""
    study = generate_uid()
    for _ in range(number):
        house.book(b"x", sop_instance_uid=generate_uid(), study=study)
    with house.database.write() as session:
        for job in claim_inference(session, number, 60):
            finish_inference(
                session, job, Analysis(Outcome.FAILED, reasons=(Finding("test"),)),
                model_version_id=register_model(session, MODEL, "2.25.1"), results=[_picture(house, study)],
                destinations={kind: ["pacs"] for kind in ResultKind}, stage_seconds={},
            )  # fmt: skip
    with house.database.write() as session:
        release_idle_studies(session, 0)


def _picture(house: Rooms, study: str) -> ResultObject:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "P1", study, generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return ResultObject(
        kind=ResultKind.SECONDARY_CAPTURE,
        sop_class_uid=SecondaryCaptureImageStorage,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        spool_name=house.spool.write(file.getvalue(), "results"),
        sha256=hashlib.sha256(file.getvalue()).hexdigest(),
    )


def pretend_sent(house: Rooms) -> None:
    """All that is not, without a PACS that would know."""
    with house.database.write() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.state == DeliveryState.PENDING)
            .values(state=DeliveryState.SENT, sent_at=now())
        )
        session.execute(update(Delivery).values(confirm_at=now()))


def rows(house: Rooms) -> list[Delivery]:
    with house.database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def states(house: Rooms) -> list[DeliveryState]:
    return [row.state for row in rows(house)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def deliver_one_of_two(house: Rooms, orthanc: CommittingOrthanc) -> None:
    add_pictures(house, 1)
    Outbox(configured(house, dicom(orthanc.port, "query")), house.database, house.spool).drain()
    (row,) = rows(house)
    assert row.state is DeliveryState.SENT
    assert row.confirm_at is not None
    assert row.confirm_at > now()
    add_pictures(house, 1)
    pretend_sent(house)


@pytest.mark.parametrize("way", ["C-FIND", "QIDO-RS"])
def test_a_query_finds_what_is_there_and_what_is_not_is_sent_again(
    house: Rooms, orthanc: CommittingOrthanc, way: str
) -> None:
    deliver_one_of_two(house, orthanc)
    destination: Destination = dicom(orthanc.port, "query")
    if way == "QIDO-RS":
        destination = DICOMwebDestination(
            type="dicomweb", name="pacs", url=orthanc.dicomweb, objects=(ResultKind.SECONDARY_CAPTURE,)
        )
    assert Confirmations(configured(house, destination), house.database).drain() is False
    assert states(house) == [DeliveryState.CONFIRMED, DeliveryState.PENDING]
    assert [row.repeats for row in rows(house)] == [0, 1]


def test_orthanc_reports_commitment_to_our_listener(
    house: Rooms, orthanc: CommittingOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.commitment._REPORT_SECONDS", 0.1)
    deliver_one_of_two(house, orthanc)
    settings = configured(house, dicom(orthanc.port, "commitment"))
    listener = build_server(settings, house.database, house.spool, WatchingWaker(house.database, house.spool))
    listener.start()
    try:
        Confirmations(settings, house.database).drain()
        until(lambda: DeliveryState.SENT not in states(house))
    finally:
        listener.shutdown()
    assert states(house) == [DeliveryState.CONFIRMED, DeliveryState.PENDING]


@contextmanager
def committing(answer: Callable[[evt.Event, Request], int]) -> Iterator[DICOMDestination]:
    """A PACS whose N-ACTION is answered so."""
    ae = AE(ae_title="PACS")
    ae.add_supported_context(PUSH_MODEL)

    def act(event: evt.Event) -> tuple[int, None]:
        return answer(event, read_request(event.action_information)), None

    handlers: list[Any] = [(evt.EVT_N_ACTION, act)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield dicom(server.server_address[1], "commitment", "PACS")
    finally:
        server.shutdown()
        server.server_close()


def report_soon(event: evt.Event, *reports: Report) -> None:
    """On the association of ``event``, once the request is answered."""

    def send() -> None:
        for report in reports:
            event.assoc.send_n_event_report(report_data_set(report), report.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)

    threading.Timer(0.2, send).start()


def test_a_report_on_the_same_association_is_taken(house: Rooms) -> None:
    add_pictures(house, 2)
    pretend_sent(house)

    def answer(event: evt.Event, request: Request) -> int:
        here, failed = request.references
        another = Report("2.25.1", request.references, ())
        report_soon(event, another, Report(request.transaction_uid, (here,), ((*failed, 0x0110),)))
        return 0x0000

    with committing(answer) as pacs:
        begun = time.monotonic()
        Confirmations(configured(house, pacs), house.database).drain()
        assert time.monotonic() - begun < 3, "nothing is waited for any more"
    assert states(house) == [DeliveryState.CONFIRMED, DeliveryState.SENT]
    row = rows(house)[1]
    assert (row.last_error, row.lease_until) == ("not_committed_0x0110", None)
    assert row.confirm_at is not None
    assert row.confirm_at > now()


def test_no_report_and_no_request_taken_leave_it_sent_and_are_asked_again(
    house: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.commitment._REPORT_SECONDS", 0.3)
    add_pictures(house, 1)
    pretend_sent(house)
    transactions: list[str] = []

    def answer(_event: evt.Event, request: Request) -> int:
        transactions.append(request.transaction_uid)
        return 0x0000 if len(transactions) == 1 else 0x0122

    with committing(answer) as pacs:
        for error in (None, "commitment_refused_0x0122"):
            pretend_sent(house)
            Confirmations(configured(house, pacs), house.database).drain()
            (row,) = rows(house)
            assert (row.state, row.last_error) == (DeliveryState.SENT, error)
            assert row.transaction_uid == transactions[-1]
    assert len(set(transactions)) == 2, "a transaction is asked about once"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_patience_ends_as_unconfirmed(house: Rooms) -> None:
    add_pictures(house, 1)
    pretend_sent(house)
    down = dicom(free_port(), "query").model_copy(update={"confirm_within_hours": 1e-9})
    Confirmations(configured(house, down), house.database).drain()
    (row,) = rows(house)
    assert (row.state, row.confirm_at, row.last_error) == (DeliveryState.SENT, None, "unconfirmed")
    with house.database.read() as session:
        assert session.scalars(select(AuditEvent.kind).order_by(AuditEvent.id)).all()[-1] == "delivery.unconfirmed"


def test_who_need_not_be_asked_is_not(house: Rooms) -> None:
    add_pictures(house, 1)
    pretend_sent(house)
    quiet = dicom(1, "none")
    Confirmations(configured(house, quiet), house.database).drain()
    assert [(row.state, row.confirm_at) for row in rows(house)] == [(DeliveryState.SENT, None)]
