"""Every answer a PACS can give, over real associations."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from core.destinations import DICOMDestination
from core.records import DeliveryJob
from core.settings import DeliverySettings
from core.spool import Spool
from tests.services import free_port
from tests.worker.pacs import Answer, abort, pacs, silence, status
from worker.answers import Refused, Sent, pause_before_retry
from worker.c_store import deliver, read_status


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path.as_uri())


def job(spool: Spool, number: int = 1, sop_class_uid: str = SecondaryCaptureImageStorage) -> DeliveryJob:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, generate_uid()
    dataset.PatientName = "Test^Patient"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return DeliveryJob(
        id=number,
        token="t",  # noqa: S106 - a fencing token
        attempts=1,
        destination="pacs",
        sop_class_uid=str(sop_class_uid),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        spool_name=spool.write(file.getvalue(), "results"),
        age_seconds=0,
    )


def send(jobs: list[DeliveryJob], destination: DICOMDestination, spool: Spool) -> list[Sent | Refused]:
    answered = list(deliver(jobs, destination, spool, "PNEUMO"))
    assert [delivery.id for delivery, _ in answered] == [delivery.id for delivery in jobs]
    return [answer for _, answer in answered]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, Sent(0x0000)),
        (0xB000, Sent(0xB000)),
        (0xB007, Sent(0xB007)),
        (0x0111, Sent(0x0111)),
        (0xA700, Refused("out_of_resources", permanent=False, status=0xA700)),
        (0xA701, Refused("out_of_resources", permanent=False, status=0xA701)),
        (0x0110, Refused("refused", permanent=False, status=0x0110)),
        (0xA900, Refused("data_set_does_not_match_sop_class", permanent=True, status=0xA900)),
        (0xC000, Refused("cannot_understand", permanent=True, status=0xC000)),
        (0xCFFF, Refused("cannot_understand", permanent=True, status=0xCFFF)),
        (0x0122, Refused("sop_class_not_supported", permanent=True, status=0x0122)),
        (0x0124, Refused("not_authorised", permanent=True, status=0x0124)),
    ],
)
def test_a_status_means_a_fate(code: int, expected: Sent | Refused, spool: Spool) -> None:
    assert read_status(code) == expected
    with pacs(status(code)) as fake:
        assert send([job(spool)], fake.destination, spool) == [expected]


def test_what_arrives_is_what_was_stored(spool: Spool) -> None:
    delivery = job(spool)
    with pacs(status(0x0000)) as fake:
        send([delivery], fake.destination, spool)
    assert spool.read(delivery.spool_name).endswith(fake.stored[0])


def test_one_association_carries_all(spool: Spool) -> None:
    jobs = [
        job(spool, number, uid) for number, uid in enumerate([SecondaryCaptureImageStorage, ComprehensiveSRStorage])
    ]
    with pacs(status(0x0000)) as fake:
        assert send(jobs, fake.destination, spool) == [Sent(0), Sent(0)]
        assert fake.associations == 1


def test_a_pacs_without_reports_takes_the_pictures(spool: Spool) -> None:
    jobs = [job(spool, 1, ComprehensiveSRStorage), job(spool, 2)]
    with pacs(status(0x0000), accepts_reports=False) as fake:
        assert send(jobs, fake.destination, spool) == [Refused("no_accepted_context", permanent=True), Sent(0)]


def test_no_context_at_all_is_for_good(spool: Spool) -> None:
    with pacs(status(0x0000), accepts_reports=False) as fake:
        answers = send([job(spool, 1, ComprehensiveSRStorage)], fake.destination, spool)
    assert answers == [Refused("no_accepted_context", permanent=True)]


def test_a_rejected_association_is_for_good(spool: Spool) -> None:
    with pacs(status(0x0000), called_ae_title="WRONG") as fake:
        assert send([job(spool)], fake.destination, spool) == [Refused("association_rejected", permanent=True)]


# pynetdicom drops the socket of a failed connection instead of closing it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pacs_that_is_down_is_tried_again(spool: Spool) -> None:
    down = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port(), timeout_seconds=1)
    assert send([job(spool), job(spool, 2)], down, spool) == [Refused("no_association", permanent=False)] * 2


@pytest.mark.parametrize("answer", [abort, silence])
def test_an_answer_that_never_comes_is_not_success(answer: Answer, spool: Spool) -> None:
    with pacs(answer) as fake:
        first, second = send([job(spool), job(spool, 2)], fake.destination, spool)
    assert first == Refused("no_answer", permanent=False)
    assert second == Refused("association_lost", permanent=False)


def test_pauses_double_up_to_the_longest() -> None:
    settings = DeliverySettings(first_retry_seconds=10, longest_pause_seconds=100)
    for attempts, seconds in ((1, 10), (2, 20), (3, 40), (5, 100), (5000, 100)):
        assert 0.8 * seconds <= pause_before_retry(attempts, settings) <= 1.2 * seconds
