"""C-STORE through real associations: what is kept, what is answered, what is booked."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, generate_uid
from sqlalchemy.orm import Session

from audit.models import Instance, Job, ModelVersion, Prediction, ResultObject
from audit.session import Database
from core.broker import WorkQueue
from core.logs import configure_logs
from core.records import Outcome, ResultKind
from core.settings import ListenerSettings, Settings, Source
from core.spool import Spool
from pacs_listener import statuses
from pacs_listener.server import build_server
from tests.databases import temporary_postgresql
from tests.pacs_listener.room import (
    CALLER,
    MARKER_ID,
    MARKER_NAME,
    Room,
    WatchingWaker,
    data_set_of,
    radiograph,
    running,
    write,
)
from tests.services import free_port, require_program


def send(room: Room, *datasets: Dataset | Path) -> list[Dataset]:
    with room.association() as association:
        return [association.send_c_store(dataset) for dataset in datasets]


def test_what_was_sent_is_what_is_kept_and_booked(room: Room, tmp_path: Path) -> None:
    file = write(radiograph(), tmp_path / "one.dcm")
    sent = data_set_of(file)
    (answer,) = send(room, file)
    assert answer.Status == statuses.SUCCESS
    (row,) = room.instances()
    assert data_set_of(room.spool_root / row.spool_name) == sent
    assert row.spool_name.startswith("received/")
    assert row.sha256 == hashlib.sha256(sent).hexdigest()
    assert row.size_bytes == len(sent)
    assert (row.patient_id, row.issuer_of_patient_id, row.modality) == (MARKER_ID, "HOSPITAL", "DX")
    assert (row.calling_ae_title, row.called_ae_title, row.peer_address) == (CALLER, "PNEUMO", "127.0.0.1")
    assert [event.subject for event in room.events("instance.received")] == [row.sop_instance_uid]


@pytest.mark.parametrize("option", ["-xe", "-xb", "-xi"])
def test_dcmtk_sends_every_uncompressed_syntax_and_no_byte_changes(room: Room, tmp_path: Path, option: str) -> None:
    storescu, convert = require_program("storescu"), require_program("dcmconv")
    original = write(radiograph(), tmp_path / "original.dcm")
    file = tmp_path / "converted.dcm"
    subprocess.run([convert, {"-xe": "+te", "-xb": "+tb", "-xi": "+ti"}[option], original, file], check=True)
    command = [storescu, option, "-aet", CALLER, "-aec", "PNEUMO", "127.0.0.1", str(room.port), file]
    subprocess.run(command, check=True, env={"TCP_NODELAY": "1"}, timeout=60)
    (row,) = room.instances()
    assert data_set_of(room.spool_root / row.spool_name) == data_set_of(file)
    assert row.patient_id == MARKER_ID


def test_success_means_row_and_file_are_there_and_the_worker_was_woken_after(room: Room) -> None:
    send(room, radiograph())
    (row,) = room.instances()
    with room.database.read() as session:
        job = session.query(Job).filter_by(instance_id=row.id).one()
    # The waker opened the row and its file when it was called.
    assert room.waker.woken == [(WorkQueue.INFERENCE, job.id)]
    assert room.waker.spooled == [row.spool_name]


def test_duplicate_is_success_and_changes_nothing(room: Room) -> None:
    dx = radiograph()
    answers = [*send(room, dx), *send(room, dx)]
    assert [answer.Status for answer in answers] == [statuses.SUCCESS] * 2
    (row,) = room.instances()
    assert room.files() == [row.spool_name]
    assert len(room.waker.woken) == 1


def test_same_uid_with_other_bytes_is_kept_aside_and_flagged(room: Room) -> None:
    dx = radiograph()
    send(room, dx)
    (first,) = room.instances()
    dx.AccessionNumber = "ANOTHER"
    (answer,) = send(room, dx)
    assert answer.Status == statuses.KEPT_ASIDE
    assert "kept aside" in answer.ErrorComment
    (row,) = room.instances()
    assert (row.sha256, row.spool_name) == (first.sha256, first.spool_name)
    (event,) = room.events("instance.conflict")
    assert event.data["spool_name"].startswith("kept_aside/")
    assert room.files() == sorted([row.spool_name, event.data["spool_name"]])
    kept = data_set_of(room.spool_root / event.data["spool_name"])
    assert hashlib.sha256(kept).hexdigest() == event.data["sha256"]
    assert len(room.waker.woken) == 1


def test_own_result_is_success_and_dropped(room: Room) -> None:
    source, own = radiograph(), radiograph()
    send(room, source)
    (row,) = room.instances()
    with room.database.write() as session:
        _book_result(session, row, own.SOPInstanceUID)
    (answer,) = send(room, own)
    assert answer.Status == statuses.SUCCESS
    assert [each.sop_instance_uid for each in room.instances()] == [row.sop_instance_uid]
    assert room.files() == [row.spool_name]
    assert [event.subject for event in room.events("own_result.returned")] == [own.SOPInstanceUID]


def _book_result(session: Session, instance: Instance, sop_instance_uid: str) -> None:
    model = ModelVersion(
        device_uid="2.25.1", name="m", version="1", manufacturer="p", digest="0" * 64, preprocessing="{}",
        label="pneumonia", threshold=0.5, temperature=1.0,
    )  # fmt: skip
    session.add(model)
    session.flush()
    prediction = Prediction(
        instance_id=instance.id, model_version_id=model.id, outcome=Outcome.POSITIVE, probability=0.9, stage_seconds={}
    )
    session.add(prediction)
    session.flush()
    result = ResultObject(
        study_id=instance.study_id, prediction_id=prediction.id, kind=ResultKind.SECONDARY_CAPTURE,
        sop_class_uid="1.2", sha256="0" * 64, sop_instance_uid=sop_instance_uid, series_instance_uid="1.2.3",
        spool_name="results/none.dcm",
    )  # fmt: skip
    session.add(result)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SOPInstanceUID": None}, "uid_missing: SOPInstanceUID"),
        ({"StudyInstanceUID": None}, "uid_missing: StudyInstanceUID"),
        ({"SeriesInstanceUID": ""}, "uid_missing: SeriesInstanceUID"),
        ({"StudyInstanceUID": "1.2.003"}, "uid_invalid: StudyInstanceUID"),
        ({"StudyInstanceUID": "../../../tmp/x"}, "uid_invalid: StudyInstanceUID"),
        ({"PatientID": "x" * 2000}, "value_too_long: PatientID"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_an_event(
    room: Room, tmp_path: Path, changes: dict[str, str], code: str
) -> None:
    uid = str(generate_uid(prefix=None))
    (answer,) = send(room, write(radiograph(**changes), tmp_path / "odd.dcm", command_uid=uid))
    assert answer.Status == statuses.CANNOT_UNDERSTAND
    assert answer.ErrorComment == code
    (event,) = room.events("instance.refused")
    assert (event.subject, event.actor, event.data["status"]) == (uid, CALLER, "0xC000")
    assert MARKER_ID not in str(event.data)
    assert (room.files(), room.instances()) == ([], [])


@pytest.mark.parametrize("garbage", [b"garbage " * 5000, bytes(range(256)) * 40, b"\x08\x00", b"\xff" * 4096])
def test_garbage_is_refused_and_the_association_goes_on(room: Room, tmp_path: Path, garbage: bytes) -> None:
    bad = write(radiograph(), tmp_path / "bad.dcm", body=garbage)
    answers = send(room, bad, radiograph())
    assert [answer.Status for answer in answers] == [statuses.CANNOT_UNDERSTAND, statuses.SUCCESS]
    assert len(room.events("instance.refused")) == 1
    assert len(room.files()) == 1


def test_sequences_nested_beyond_reason_are_refused(room: Room, tmp_path: Path) -> None:
    sequence = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    answers = send(room, write(radiograph(), tmp_path / "bad.dcm", body=sequence * 3000), radiograph())
    assert [answer.Status for answer in answers] == [statuses.CANNOT_UNDERSTAND, statuses.SUCCESS]


def test_uid_that_differs_from_the_command_is_a900(room: Room, tmp_path: Path) -> None:
    (answer,) = send(room, write(radiograph(), tmp_path / "a.dcm", command_uid="1.2.3.4"))
    assert answer.Status == statuses.DATA_SET_DOES_NOT_MATCH
    assert room.events("instance.refused")[0].data["code"] == "uid_differs_from_command"
    assert (room.files(), room.instances()) == ([], [])


def test_uid_with_path_characters_in_command_and_data_set(room: Room, tmp_path: Path) -> None:
    """Only this instance is refused, and nothing is written anywhere."""
    path = write(radiograph(SOPInstanceUID="../../../../tmp/escape"), tmp_path / "a.dcm")
    good = radiograph()
    answers = send(room, path, good)
    assert [answer.Status for answer in answers] == [statuses.CANNOT_UNDERSTAND, statuses.SUCCESS]
    assert answers[0].ErrorComment == "uid_invalid: SOPInstanceUID"
    assert len(room.files()) == 1
    assert not list(tmp_path.rglob("escape*"))


def test_sop_class_that_differs_from_the_command_or_the_context_is_a900(room: Room, tmp_path: Path) -> None:
    other = radiograph(SOPClassUID=ComputedRadiographyImageStorage)
    path = write(other, tmp_path / "a.dcm", command_class=DigitalXRayImageStorageForPresentation)
    (answer,) = send(room, path)
    assert answer.Status == statuses.DATA_SET_DOES_NOT_MATCH
    assert (room.files(), room.instances()) == ([], [])


def test_padding_and_nul_are_not_stored(room: Room, tmp_path: Path) -> None:
    path = write(radiograph(PatientID=" A<B "), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b" A<B", b" A\0B"))
    (answer,) = send(room, path)
    assert answer.Status == statuses.SUCCESS
    assert room.instances()[0].patient_id == "AB"


def test_character_sets_reach_the_books(room: Room) -> None:
    known = radiograph(SpecificCharacterSet="ISO_IR 192", PatientID="Grün-1")
    send(room, known)
    assert room.instances()[0].patient_id == "Grün-1"


def test_unknown_character_set_is_no_reason_to_refuse(room: Room, tmp_path: Path) -> None:
    path = write(radiograph(SpecificCharacterSet="ISO_IR 100", PatientID="A1"), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"NO SUCH 99"))
    (answer,) = send(room, path)
    assert answer.Status == statuses.SUCCESS
    assert room.instances()[0].patient_id == "A1"


def test_disk_reserve_refuses_with_one_event(tmp_path: Path) -> None:
    with running(tmp_path / "home", disk_reserve_bytes=2**60) as room:
        answers = send(room, radiograph(), radiograph(), radiograph())
        assert [answer.Status for answer in answers] == [statuses.OUT_OF_RESOURCES] * 3
        (event,) = room.events("instance.refused")
        assert (event.data["code"], event.data["status"]) == ("disk_reserve_reached", "0xA700")
        assert (room.files(), room.instances()) == ([], [])


def test_database_down_is_a_failure_and_leaves_no_file(room: Room) -> None:
    # Another file in the database's place: every statement fails, as on a server that is down.
    room.database.close()
    path = Path(room.settings.home, "pneumo.db")
    for each in room.settings.home.glob("pneumo.db*"):
        each.unlink()
    path.write_bytes(b"this is no database" * 1000)
    (answer,) = send(room, radiograph())
    assert answer.Status == statuses.PROCESSING_FAILURE
    assert room.files() == []
    assert room.waker.woken == []


def test_postgresql_down_is_a_failure(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        database_url=f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none",
        sources=(Source(name="room 1", ae_titles=(CALLER,)),),
        listener=ListenerSettings(port=free_port(), disk_reserve_bytes=0),
    )
    database, spool = Database(settings.database), Spool(settings.spool)
    waker = WatchingWaker(database, spool)
    listener = build_server(settings, database, spool, waker)
    listener.start()
    try:
        room = Room(settings, database, spool, waker, listener)
        (answer,) = send(room, radiograph())
        assert answer.Status == statuses.PROCESSING_FAILURE
        assert room.files() == []
    finally:
        listener.shutdown()
        database.close()


def _send_from_threads(room: Room, loads: list[list[Dataset]]) -> list[int]:
    results: list[int] = []
    start = threading.Barrier(len(loads))

    def work(load: list[Dataset]) -> None:
        with room.association() as association:
            start.wait(30)
            results.extend(association.send_c_store(dataset).Status for dataset in load)

    threads = [threading.Thread(target=work, args=[load]) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_four_associations_of_one_study_at_once(room: Room) -> None:
    study = str(generate_uid(prefix=None))
    loads = [[radiograph(StudyInstanceUID=study) for _ in range(5)] for _ in range(4)]
    assert _send_from_threads(room, loads) == [statuses.SUCCESS] * 20
    assert len(room.instances()) == len(room.files()) == len(room.waker.woken) == 20


def test_the_same_instance_over_several_associations_at_once(room: Room) -> None:
    dx = radiograph()
    assert _send_from_threads(room, [[dx]] * 4) == [statuses.SUCCESS] * 4
    (row,) = room.instances()
    assert room.files() == [row.spool_name]
    assert len(room.waker.woken) == 1


def test_races_on_postgresql(tmp_path: Path) -> None:
    with temporary_postgresql() as url, running(tmp_path / "home", database_url=url) as room:
        study = str(generate_uid(prefix=None))
        shared = [radiograph(StudyInstanceUID=study) for _ in range(5)]
        assert _send_from_threads(room, [shared] * 4) == [statuses.SUCCESS] * 20
        rows = room.instances()
        assert sorted(row.spool_name for row in rows) == room.files()
        assert len(rows) == len(room.waker.woken) == 5
        shared[0].AccessionNumber = "OTHER"
        assert [answer.Status for answer in send(room, shared[0])] == [statuses.KEPT_ASIDE]
        assert room.events("instance.conflict")[0].data["spool_name"] in room.files()


def test_nobody_is_named_in_logs_or_file_names(room: Room, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    configure_logs("json")
    try:
        odd = write(radiograph(StudyInstanceUID=MARKER_ID), tmp_path / "odd.dcm")
        room_answers = send(room, radiograph(), odd)
    finally:
        root.handlers[:] = before
    assert [answer.Status for answer in room_answers] == [statuses.SUCCESS, statuses.CANNOT_UNDERSTAND]
    written = "".join(capfd.readouterr())
    assert "instance_received" in written
    for marker in (*MARKER_NAME.split("^"), MARKER_ID):
        assert marker not in written
        assert marker not in str(room_answers)
        assert not [name for name in room.files() if marker in name]
