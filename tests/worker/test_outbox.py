"""The delivery table emptied towards a PACS on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from sqlalchemy import update

from audit.deliveries import DeliveryFilter, requeue_deliveries, select_deliveries
from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.models import Delivery
from audit.models import ResultObject as StoredResult
from audit.studies import release_idle_studies
from core.destinations import DICOMDestination
from core.records import Analysis, DeliveryState, Finding, ModelIdentity, Outcome, ResultKind, ResultObject
from core.settings import DeliverySettings
from tests.services import free_port
from tests.worker.pacs import FakePACS, pacs, status
from tests.worker.rooms import Rooms, rooms
from worker.outbox import Outbox

MODEL = ModelIdentity("model", "1", "us", "0" * 64, "{}", "pneumonia", 0.5, 1.0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


def outbox(house: Rooms, *destinations: DICOMDestination, **delivery: float) -> Outbox:
    settings = house.settings.model_copy(
        update={
            "destinations": destinations,
            "delivery": DeliverySettings.model_validate({"first_retry_seconds": 0.01, **delivery}),
        }
    )
    return Outbox(settings, house.database, house.spool)


def add_results(house: Rooms, number: int, destinations: Sequence[str]) -> None:
    """An image analysed, with a picture and a report for each destination."""
    house.book(b"x", sop_instance_uid=f"1.2.3.{number}", study=f"1.2.{number}")
    with house.database.write() as session:
        (job,) = claim_inference(session, 1, 60)
        finish_inference(
            session,
            job,
            Analysis(Outcome.FAILED, reasons=(Finding("test"),)),
            model_version_id=register_model(session, MODEL, "2.25.1"),
            results=[
                _object(house, ResultKind.SECONDARY_CAPTURE, SecondaryCaptureImageStorage),
                _object(house, ResultKind.REPORT, ComprehensiveSRStorage),
            ],
            destinations=dict.fromkeys(ResultKind, destinations),
            stage_seconds={},
        )
    with house.database.write() as session:
        release_idle_studies(session, 0)


def _object(house: Rooms, kind: ResultKind, sop_class_uid: str) -> ResultObject:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return ResultObject(
        kind=kind,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid="1.2",
        spool_name=house.spool.write(file.getvalue(), "results"),
        sha256=hashlib.sha256(file.getvalue()).hexdigest(),
    )


def deliveries(house: Rooms) -> list[Delivery]:
    with house.database.read() as session:
        return list(session.scalars(select_deliveries(DeliveryFilter())))


def named(fake: FakePACS, name: str) -> DICOMDestination:
    return fake.destination.model_copy(update={"name": name})


def test_all_due_results_are_sent_pictures_before_reports(house: Rooms) -> None:
    for number in range(3):
        add_results(house, number, ["pacs"])
    with pacs(status(0x0000)) as fake:
        assert outbox(house, fake.destination).drain() is False
        assert (len(fake.stored), fake.associations) == (6, 1)
    rows = deliveries(house)
    assert {row.state for row in rows} == {DeliveryState.SENT}
    assert all(row.sent_at is not None and row.last_status == 0 and row.token is None for row in rows)
    kinds = [row.result_object.kind for row in rows]
    assert kinds[0] is ResultKind.SECONDARY_CAPTURE


def test_a_refusal_for_good_is_dead_at_once_and_can_be_requeued(house: Rooms) -> None:
    add_results(house, 1, ["pacs"])
    with pacs(status(0x0122)) as fake:
        outbox(house, fake.destination).drain()
        assert len(fake.stored) == 2
    assert {(row.state, row.last_error) for row in deliveries(house)} == {
        (DeliveryState.DEAD, "sop_class_not_supported")
    }
    with house.database.write() as session:
        assert len(requeue_deliveries(session, DeliveryFilter(state=DeliveryState.DEAD), "test")) == 2
    with pacs(status(0x0000)) as fake:
        outbox(house, fake.destination).drain()
        assert len(fake.stored) == 2
    assert {row.state for row in deliveries(house)} == {DeliveryState.SENT}


def test_what_was_erased_meanwhile_ends_as_dead(house: Rooms) -> None:
    """Made due by somebody who had not seen the erasure."""
    add_results(house, 1, ["pacs"])
    with house.database.write() as session:
        session.execute(update(StoredResult).where(StoredResult.id == 1).values(spool_name=""))
    with pacs(status(0x0000)) as fake:
        assert outbox(house, fake.destination).drain() is False
        assert len(fake.stored) == 1
    erased, sent = deliveries(house)
    assert (erased.state, erased.last_error, sent.state) == (DeliveryState.DEAD, "erased", DeliveryState.SENT)
    with house.database.write() as session:
        assert list(requeue_deliveries(session, DeliveryFilter(ids=[erased.id]), "test")) == []


def test_what_may_pass_is_tried_again_until_it_passes(house: Rooms) -> None:
    add_results(house, 1, ["pacs"])
    codes = iter([0xA700, 0xA700, 0x0110, 0x0000, 0x0000])
    with pacs(lambda _event: next(codes)) as fake:
        box = outbox(house, fake.destination)
        while any(row.state is DeliveryState.PENDING for row in deliveries(house)):
            box.drain()
    rows = deliveries(house)
    assert {row.state for row in rows} == {DeliveryState.SENT}
    assert next(codes, None) is None, "each answer but the last ones led to another attempt"
    assert sum(row.attempts for row in rows) >= 5, "an association that did not come about is an attempt as well"


def test_patience_ends(house: Rooms) -> None:
    add_results(house, 1, ["pacs"])
    with pacs(status(0xA700)) as fake:
        box = outbox(house, fake.destination, give_up_after_days=1e-9)
        box.drain()
    assert {(row.state, row.last_error) for row in deliveries(house)} == {
        (DeliveryState.DEAD, "gave_up_after_out_of_resources")
    }


def test_a_destination_that_is_gone_from_the_configuration_is_dead(house: Rooms) -> None:
    add_results(house, 1, ["gone"])
    outbox(house).drain()
    assert {(row.state, row.last_error) for row in deliveries(house)} == {(DeliveryState.DEAD, "unknown_destination")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_a_destination_that_is_down_holds_up_no_other(house: Rooms) -> None:
    add_results(house, 1, ["down", "up"])
    down = DICOMDestination(name="down", ae_title="DOWN", host="127.0.0.1", port=free_port(), timeout_seconds=1)
    with pacs(status(0x0000)) as fake:
        outbox(house, down, named(fake, "up"), first_retry_seconds=60).drain()
    states = {(row.destination, row.state) for row in deliveries(house)}
    assert states == {("down", DeliveryState.PENDING), ("up", DeliveryState.SENT)}


def test_several_threads_send_nothing_twice(house: Rooms) -> None:
    for number in range(6):
        add_results(house, number, ["one", "two"])
    with pacs(status(0x0000)) as one, pacs(status(0x0000)) as two:
        box = outbox(house, named(one, "one"), named(two, "two"))
        threads = [threading.Thread(target=box.drain) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(one.stored), len(two.stored)) == (12, 12)
    assert {(row.state, row.attempts) for row in deliveries(house)} == {(DeliveryState.SENT, 1)}
