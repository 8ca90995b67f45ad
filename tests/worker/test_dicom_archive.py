"""C-FIND, C-MOVE and C-GET against DCMTK, and against an archive that answers nonsense."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from core.destinations import DICOMArchive
from core.errors import FailedForGood, RetryLater
from core.settings import Source
from pacs_listener.admission import STORAGE_CLASSES
from tests.pacs_listener.room import Room, data_set_of, running
from tests.services import free_port
from tests.worker.archives import QueryRetrieveSCP, dcmqrscp
from worker.archive import Arrived, FoundSeries, Retrieved
from worker.archive_association import _PDU_BYTES
from worker.dicom_archive import GettingArchive, MovingArchive

BOTH = ("CR", "DX")
MARCH_1 = date(2025, 3, 1)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    sources = (Source(name="archive", ae_titles=("QR",)),)
    with running(tmp_path_factory.mktemp("room"), sources=sources) as room:
        yield room


@pytest.fixture(scope="module")
def scp(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryRetrieveSCP]:
    with dcmqrscp(tmp_path_factory.mktemp("archive"), room.port) as scp:
        yield scp


def archive(port: int, ae_title: str = "QR") -> DICOMArchive:
    return DICOMArchive(name="old", ae_title=ae_title, host="127.0.0.1", port=port, timeout_seconds=10)


def moving(scp: QueryRetrieveSCP, destination: str = "PNEUMO") -> MovingArchive:
    return MovingArchive(archive(scp.port), "PNEUMO", destination)


def getting(scp: QueryRetrieveSCP, folder: Path, status: int = 0x0000) -> tuple[GettingArchive, list[Arrived]]:
    arrived: list[Arrived] = []

    def store(each: Arrived) -> int:
        arrived.append(each)
        return status

    return (
        GettingArchive(archive(scp.port), "PNEUMO", storage_classes=STORAGE_CLASSES, folder=folder, store=store),
        arrived,
    )


def test_studies_of_a_day_by_their_time_and_series_with_their_images(scp: QueryRetrieveSCP) -> None:
    assert moving(scp).find_studies(MARCH_1, BOTH).uids == ("1.2.3.1", "1.2.3.2")
    assert moving(scp).find_studies(date(2025, 3, 2), BOTH).uids == ()
    assert sorted(moving(scp).find_series("1.2.3.1", BOTH), key=lambda each: each.modality) == [
        FoundSeries("1.2.3.1.7", "CT", None),
        FoundSeries("1.2.3.1.1", "DX", 2),
    ]


def test_move_brings_the_series_to_our_listener(scp: QueryRetrieveSCP, room: Room) -> None:
    assert moving(scp).retrieve("1.2.3.1", "1.2.3.1.1") == Retrieved(completed=2, failed=0)
    assert [row.sop_instance_uid for row in room.instances()] == ["1.2.3.1.1.1", "1.2.3.1.1.2"]


def test_move_to_whom_the_archive_does_not_know(scp: QueryRetrieveSCP) -> None:
    with pytest.raises(RetryLater) as failure:
        moving(scp, "NOBODY").retrieve("1.2.3.1", "1.2.3.1.1")
    assert failure.value.code == "move_destination_unknown"


def test_get_brings_the_bytes_that_the_archive_has(scp: QueryRetrieveSCP, tmp_path: Path) -> None:
    client, arrived = getting(scp, tmp_path)
    assert client.retrieve("1.2.3.1", "1.2.3.1.1") == Retrieved(completed=2, failed=0)
    assert {each.sop_instance_uid for each in arrived} == {"1.2.3.1.1.1", "1.2.3.1.1.2"}
    stored = {data_set_of(path) for path in scp.storage.glob("*.dcm")}
    for each in arrived:
        assert each.path.parent == tmp_path
        assert data_set_of(each.path) in stored


def test_get_counts_what_we_refuse(scp: QueryRetrieveSCP, tmp_path: Path) -> None:
    client, _ = getting(scp, tmp_path, status=0xA900)
    assert client.retrieve("1.2.3.1", "1.2.3.1.1") == Retrieved(completed=0, failed=2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_an_archive_that_is_down_or_does_not_know_its_name(scp: QueryRetrieveSCP) -> None:
    for which, code in ((archive(free_port()), "no_association"), (archive(scp.port, "OTHER"), "association_rejected")):
        with pytest.raises(RetryLater) as failure:
            MovingArchive(which, "PNEUMO", "PNEUMO").find_studies(MARCH_1, BOTH)
        assert failure.value.code == code


def _nonsense(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    level, modality = event.identifier.QueryRetrieveLevel, event.identifier.get("ModalitiesInStudy")
    if level == "SERIES":
        yield 0xC123, None
        return
    if modality == "DX":
        match = Dataset()
        match.StudyInstanceUID, match.StudyDescription = "1.2.3", "x" * (4 * _PDU_BYTES * 10)
        yield 0xFF00, match
        yield 0x0000, None
        return
    for uid in ("1.2.3", "../../etc", "", "1.2.3", "9" * 65, "1.2.4"):
        match = Dataset()
        match.StudyInstanceUID = uid
        yield 0xFF00, match
    yield 0x0000, None


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    from pydicom.config import IGNORE, settings

    monkeypatch.setattr(settings, "writing_validation_mode", IGNORE)
    monkeypatch.setattr(settings, "reading_validation_mode", IGNORE)
    ae = AE("QR")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, _nonsense)])
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_answers_of_a_stranger(liar: int) -> None:
    client = MovingArchive(archive(liar), "PNEUMO", "PNEUMO")
    found = client.find_studies(MARCH_1, ("CR",))
    assert (found.uids, found.malformed) == (("1.2.3", "1.2.4"), 3)
    with pytest.raises(FailedForGood, match="status_c123"):
        client.find_series("1.2.3", BOTH)
    began = time.monotonic()
    with pytest.raises(RetryLater):  # a match of five megabytes is not read to its end
        client.find_studies(MARCH_1, ("DX",))
    assert time.monotonic() - began < 5
