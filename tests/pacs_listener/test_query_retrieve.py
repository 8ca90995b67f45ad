"""Query and retrieve at our port, by DCMTK's programs and, where they cannot, by pynetdicom."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom.association import Association

from audit.inference_jobs import claim_inference, finish_inference, register_model
from core.records import ResultKind, ResultObject
from core.settings import Source
from pacs_listener import query
from pacs_listener.admission import FIND, GET, MOVE
from tests.audit.rows import DEVICE_UID, MODEL, positive
from tests.pacs_listener.room import CALLER, Room, close, data_set_of, radiograph, running, write
from tests.services import free_port, require_program
from tests.worker.peers import Certificates, make_certificates

DX = DigitalXRayImageStorageForPresentation
STATION = "STATION"


@dataclass
class House:
    room: Room
    image: Dataset
    image_file: Path
    report: ResultObject
    other: Dataset
    certificates: Certificates
    store_port: int

    @property
    def study_uid(self) -> str:
        return str(self.image.StudyInstanceUID)

    def scu(self, program: str, *arguments: str, keys: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        command = [require_program(program), "-S", "-aet", STATION, "-aec", "PNEUMO", *arguments]
        for key in keys:
            command += ["-k", key]
        command += ["127.0.0.1", str(self.room.port)]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two studies, one with a report; a workstation, a modality that may not ask, and a peer to move to over TLS."""
    folder = tmp_path_factory.mktemp("house")
    certificates, port = make_certificates(folder), free_port()
    sources = (
        Source(name="room 1", ae_titles=(CALLER,)),
        Source(name="station", ae_titles=(STATION,), may_retrieve=True),
        Source(name="store", ae_titles=("STORE",), host="127.0.0.1", port=port, tls=certificates.tls()),
        Source(name="nobody", ae_titles=("NOBODY",), host="127.0.0.1", port=free_port()),
    )
    image = radiograph(PatientID="A[1]", AccessionNumber="ACC_1", StudyDate="20260102")
    other = radiograph(PatientID="PÄ2", SpecificCharacterSet="ISO_IR 100", StudyDate="20260203", Modality="CR")
    # A group length, which pydicom leaves out when it writes: what comes back has to be what was sent.
    body = bytes.fromhex("08000000 554c0400 04000000") + data_set_of(write(image, folder / "plain.dcm"))
    image_file = write(image, folder / "image.dcm", body=body)
    with running(folder / "home", sources=sources) as room:
        with pytest.MonkeyPatch.context() as patch, room.association() as association:
            patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # as in conftest.py, for each test only
            for file in (image_file, write(other, folder / "other.dcm")):
                assert association.send_c_store(file).Status == 0x0000
        report = hold_report(room, image, folder)
        yield House(room, image, image_file, report, other, certificates, port)


def hold_report(room: Room, image: Dataset, folder: Path) -> ResultObject:
    sr = radiograph(SOPClassUID=ComprehensiveSRStorage, Modality="SR", StudyInstanceUID=image.StudyInstanceUID)
    sr.file_meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    del sr.PixelData
    report = ResultObject(
        ResultKind.REPORT, ComprehensiveSRStorage, str(sr.SOPInstanceUID), str(sr.SeriesInstanceUID),
        room.spool.write(write(sr, folder / "report.dcm").read_bytes(), "results"), "cd" * 32,
    )  # fmt: skip
    with room.database.write() as session:
        for job in claim_inference(session, 10, 60):
            finish_inference(
                session, job, positive(),
                model_version_id=register_model(session, MODEL, DEVICE_UID),
                results=[report] if job.sop_instance_uid == image.SOPInstanceUID else [],
                destinations={}, stage_seconds={},
            )  # fmt: skip
    return report


@contextmanager
def calling(
    house: House, *contexts: Any, title: str = STATION, scp: tuple[str, ...] = (), store: Any = None
) -> Iterator[Association]:
    ae = AE(ae_title=title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    association = ae.associate(
        "127.0.0.1", house.room.port, ae_title="PNEUMO", contexts=[*contexts],
        ext_neg=[build_role(uid, scp_role=True) for uid in scp],
        evt_handlers=[(evt.EVT_C_STORE, store)] if store else [],
    )  # fmt: skip
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        close(association)


def keys(level: str, **values: Any) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet, dataset.QueryRetrieveLevel = "ISO_IR 192", level
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def find(house: House, dataset: Dataset) -> tuple[list[int], list[Dataset]]:
    with calling(house, build_context(FIND)) as association:
        answers = list(association.send_c_find(dataset, FIND))
    return [status.Status for status, _ in answers], [match for _, match in answers if match is not None]


def test_findscu_is_answered_at_each_level(house: House, tmp_path: Path) -> None:
    def ask(level: str, *more: str) -> list[Dataset]:
        folder = tmp_path / level
        folder.mkdir()
        asked = house.scu("findscu", "-X", "-od", str(folder), keys=(f"QueryRetrieveLevel={level}", *more))
        assert asked.returncode == 0, asked.stderr
        return [dcmread(file, force=True) for file in sorted(folder.iterdir())]

    (study,) = ask(
        "STUDY", "PatientID=A[1]", "PatientName", "StudyDate=20260101-20260131", "StudyInstanceUID",
        "ModalitiesInStudy=SR", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "StudyTime",
    )  # fmt: skip
    assert (study.StudyInstanceUID, study.PatientID, study.StudyDate) == (house.study_uid, "A[1]", "20260102")
    assert (list(study.ModalitiesInStudy), study.NumberOfStudyRelatedSeries) == (["DX", "SR"], 2)
    assert (study.RetrieveAETitle, study.InstanceAvailability) == ("PNEUMO", "ONLINE")
    assert study["PatientName"].is_empty
    assert study["StudyTime"].is_empty
    (series,) = ask("SERIES", f"StudyInstanceUID={house.study_uid}", "SeriesInstanceUID", "Modality=SR")
    assert (series.Modality, series.SeriesInstanceUID) == ("SR", house.report.series_instance_uid)
    (image,) = ask(
        "IMAGE", f"StudyInstanceUID={house.study_uid}", f"SeriesInstanceUID={series.SeriesInstanceUID}",
        "SOPInstanceUID", "SOPClassUID", "InstanceNumber",
    )  # fmt: skip
    assert (image.SOPInstanceUID, image.SOPClassUID) == (house.report.sop_instance_uid, ComprehensiveSRStorage)
    event = house.room.events("query.answered")[-1]
    assert event.actor == STATION
    assert event.data == {
        "address": "127.0.0.1",
        "sop_class_uid": FIND,
        "level": "IMAGE",
        "keys": ["SeriesInstanceUID", "StudyInstanceUID"],
        "matches": 1,
    }
    of_study = house.room.events("query.answered")[0].data
    assert of_study["keys"] == ["ModalitiesInStudy", "PatientID", "StudyDate"], "keywords, and no value of a patient"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, 2),
        ({"PatientID": "a[1]"}, 0),
        ({"PatientID": "A[*"}, 1),
        ({"PatientID": "PÄ?"}, 1),
        ({"AccessionNumber": "acc?1"}, 0),
        ({"StudyDate": "-20260102"}, 1),
        ({"StudyDate": "20260103-"}, 1),
        ({"StudyDate": "20260203", "ModalitiesInStudy": "C*"}, 1),
        ({"StudyInstanceUID": ["1.2.3", "1.2.4"]}, 0),
    ],
)
def test_matching(house: House, asked: dict[str, Any], found: int) -> None:
    statuses, matches = find(house, keys("STUDY", **asked))
    assert statuses == [0xFF00] * found + [0x0000]
    assert len(matches) == found


def test_answers_are_in_utf_8_and_say_which_keys_were_not_matched(house: House) -> None:
    statuses, (match,) = find(house, keys("STUDY", PatientID="PÄ2", InstitutionName="Elsewhere"))
    assert statuses == [0xFF01, 0x0000]
    assert (match.SpecificCharacterSet, match.PatientID) == ("ISO_IR 192", "PÄ2")
    assert match["InstitutionName"].is_empty


@pytest.mark.parametrize(
    ("level", "asked", "status"),
    [
        ("SERIES", {}, 0xA900),
        ("IMAGE", {"StudyInstanceUID": "1.2.3"}, 0xA900),
        ("PATIENT", {}, 0xA900),
        ("STUDY", {"StudyDate": "2026010-"}, 0xA900),
        ("STUDY", {"PatientName": "Smith*"}, 0xC000),
    ],
)
def test_queries_that_are_refused(house: House, level: str, asked: dict[str, Any], status: int) -> None:
    assert find(house, keys(level, **asked)) == ([status], [])


def test_too_many_matches_and_cancel(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with calling(house, build_context(FIND)) as association:
        association.send_c_cancel(1, 1)  # of nothing: the next request is not cancelled by it
        answers = association.send_c_find(keys("STUDY"), FIND, msg_id=1)
        assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0x0000]
    monkeypatch.setattr(query, "MOST_MATCHES", 1)
    assert find(house, keys("STUDY")) == ([0xA700], [])


def test_getscu_gets_the_bytes_as_they_came(house: House, tmp_path: Path) -> None:
    asked = house.scu(
        "getscu", "+B", "-od", str(tmp_path),
        keys=("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={house.study_uid}"),
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    got = {dcmread(file, stop_before_pixels=True).SOPClassUID: data_set_of(file) for file in tmp_path.iterdir()}
    assert got == {DX: data_set_of(house.image_file), ComprehensiveSRStorage: spooled(house)}
    event = house.room.events("instances.retrieved")[-1]
    assert (event.actor, event.subject) == (STATION, house.study_uid)
    assert event.data == {
        "address": "127.0.0.1",
        "operation": "C-GET", "to": STATION, "studies": [house.study_uid],
        "completed": 2, "warned": 0, "failed": 0, "not_sent": 0,
    }  # fmt: skip


def spooled(house: House) -> bytes:
    return data_set_of(house.room.spool_root / house.report.spool_name)


@pytest.mark.parametrize(
    ("syntax", "status", "counts"),
    [
        (ImplicitVRLittleEndian, 0xB000, (1, 1)),
        (JPEG2000Lossless, 0xA702, (0, 2)),
    ],
)
def test_what_was_not_negotiated_fails(house: House, syntax: str, status: int, counts: tuple[int, int]) -> None:
    stored: list[Dataset] = []

    def take(event: evt.Event) -> int:
        stored.append(event.dataset)
        return 0x0000

    with calling(house, build_context(GET), build_context(DX, syntax), scp=(DX,), store=take) as association:
        (*_, (last, failed)) = association.send_c_get(keys("STUDY", StudyInstanceUID=house.study_uid), GET)
    assert last.Status == status
    assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == counts
    assert failed is not None
    assert house.report.sop_instance_uid in failed.FailedSOPInstanceUIDList
    assert [image.PixelData for image in stored] == [house.image.PixelData] * counts[0]


def test_a_retrieval_is_cancelled(house: House) -> None:
    def cancel(event: evt.Event) -> int:
        event.assoc.send_c_cancel(1, 1)
        return 0x0000

    contexts = (build_context(GET), build_context(DX), build_context(ComprehensiveSRStorage))
    with calling(house, *contexts, scp=(DX, ComprehensiveSRStorage), store=cancel) as association:
        (*_, (last, _)) = association.send_c_get(keys("STUDY", StudyInstanceUID=house.study_uid), GET, msg_id=1)
    assert (last.Status, last.NumberOfRemainingSuboperations) == (0xFE00, 1)
    assert last.NumberOfCompletedSuboperations == 1


def test_a_peer_that_leaves_in_the_middle_is_let_go(house: House) -> None:
    def leave(event: evt.Event) -> int:
        transport = event.assoc.dul.socket
        assert transport is not None
        assert transport.socket is not None
        transport.socket.shutdown(socket.SHUT_RDWR)
        return 0x0000

    contexts = (build_context(GET), build_context(DX), build_context(ComprehensiveSRStorage))
    before = len(house.room.events("instances.retrieved"))
    with calling(house, *contexts, scp=(DX, ComprehensiveSRStorage), store=leave) as association:
        list(association.send_c_get(keys("STUDY", StudyInstanceUID=house.study_uid), GET))
    deadline = time.monotonic() + 5
    while len(house.room.events("instances.retrieved")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    data = house.room.events("instances.retrieved")[-1].data
    assert (data["completed"], data["failed"], data["not_sent"]) == (0, 1, 1)


def test_movescu_moves_to_a_configured_peer_over_tls(house: House, tmp_path: Path) -> None:
    asked = ("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={house.study_uid}")
    series = f"SeriesInstanceUID={house.image.SeriesInstanceUID}"
    with storescp(house, tmp_path):
        moved = house.scu("movescu", "-aem", "STORE", keys=(*asked, series))
    assert moved.returncode == 0, moved.stderr
    (file,) = tmp_path.iterdir()
    assert data_set_of(file) == data_set_of(house.image_file)
    event = house.room.events("instances.retrieved")[-1]
    assert (event.data["operation"], event.data["to"], event.data["completed"]) == ("C-MOVE", "STORE", 1)


@contextmanager
def storescp(house: House, folder: Path) -> Iterator[None]:
    keys_of = house.certificates
    command = [
        require_program("storescp"), "+B", "+tls", str(keys_of.key("server")), str(keys_of.pem("server")),
        "+cf", str(keys_of.pem("ca")), "-od", str(folder), str(house.store_port),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", house.store_port), timeout=5).close()
                    break
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # pynetdicom's, where nobody listens; freed at once
@pytest.mark.parametrize(
    ("destination", "asked", "status"),
    [
        ("STRANGER", {"StudyInstanceUID": "1.2.3"}, 0xA801),
        (STATION, {"StudyInstanceUID": "1.2.3"}, 0xA801),
        ("STORE", {}, 0xA900),
        ("STORE", {"StudyInstanceUID": "1.2.3"}, 0x0000),
        ("NOBODY", None, 0xA702),
    ],
)
def test_moves_that_move_nothing(house: House, destination: str, asked: dict[str, Any] | None, status: int) -> None:
    identifier = keys("STUDY", **({"StudyInstanceUID": house.study_uid} if asked is None else asked))
    with calling(house, build_context(MOVE)) as association:
        (*_, (last, _)) = association.send_c_move(identifier, destination, MOVE)
        assert last.Status == status
        assert find(house, keys("STUDY"))[0][-1] == 0x0000, "and the listener lives"


def test_a_source_that_may_not_retrieve_finds_no_context(house: House) -> None:
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in (FIND, MOVE, GET, DX, ComprehensiveSRStorage)]
    with calling(house, *contexts, title=CALLER, scp=(DX, ComprehensiveSRStorage)) as association:
        assert [context.abstract_syntax for context in association.accepted_contexts] == [DX]
    with calling(house, *contexts) as association:
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    assert accepted == {FIND, MOVE, GET, DX}, "results are not for storing to us"
