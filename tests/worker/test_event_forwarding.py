"""DICOM audit messages reach a real receiver over TCP and TLS, whatever happens to it in between."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.filereader import read_dataset
from sqlalchemy import select, text

from audit.events import record_event
from audit.models import AuditEvent, ChainHead, EventReader, Study
from audit.session import Database
from audit.witnessed import SYSLOG
from cli.doctor import examine
from core.audit_settings import AuditSettings, Syslog
from core.destinations import DICOMDestination
from core.errors import ConfigurationError
from core.fields import TLS
from core.settings import Settings, WorkerSettings
from tests.audit.databases import KINDS, emptied, migrated
from tests.services import free_port
from tests.worker.peers import Certificates, make_certificates
from tests.worker.rooms import Rooms, rooms
from tests.worker.syslog_receiver import Receiver, receiving
from worker import syslog
from worker.audit_messages import WITNESSED
from worker.event_forwarding import EventForwarding
from worker.syslog import SinkAway

DX = "1.2.840.10008.5.1.4.1.1.1.1"
PACS = DICOMDestination(name="pacs", host="192.0.2.9", port=104, ae_title="PACS")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path, PACS) as made:
        yield made


@contextmanager
def forwarding(
    database: Database, port: int, tls: TLS | None = None, anchor_seconds: float = 86_400, **more: object
) -> Iterator[EventForwarding]:
    sink = Syslog(host="127.0.0.1", port=port, tls=tls)
    settings = Settings(
        audit=AuditSettings(syslog=sink, anchor_seconds=anchor_seconds),
        worker=WorkerSettings(sweep_seconds=0.05),
        destinations=(PACS,),
    )
    made = EventForwarding(settings, sink, database)
    try:
        yield made
    finally:
        made._connection.close()


def refuse(database: Database, number: int, actor: str = "STRANGER") -> None:
    with database.write() as session:
        record_event(
            session, "association.refused", actor=actor, called_ae_title="PNEUMO", address="10.0.0.1",
            cause="unknown_caller", number=number,
        )  # fmt: skip


def place(database: Database) -> int:
    with database.read() as session:
        return session.get_one(EventReader, SYSLOG).event_id


def told(receiver: Receiver) -> list[int]:
    return [row for message in receiver.messages for row in message.rows]


def test_images_of_a_study_are_one_message_with_their_patient(house: Rooms, receiver: Receiver) -> None:
    for number in range(3):
        house.book(b"%d" % number, sop_instance_uid=f"1.2.3.4.{number}", study="1.2.3.4", patient_id="MÜLLER\x07-1")
    house.book(b"x", sop_instance_uid="1.2.9.1", study="1.2.9", patient_id="")
    with forwarding(house.database, receiver.port) as forwarder:
        forwarder.forward()
    anchor, first, second = sorted(receiver.wait_for(3), key=lambda each: each.rows)
    assert anchor.kind == "chain.anchored"
    assert (first.event, first.kind, first.priority) == ("110104", "instance.received", 10 * 8 + 5)
    assert (first.app_name, first.msgid) == ("pneumo", "DICOM+RFC3881")
    (study,), (patient,) = first.objects("110180"), first.objects("2")
    assert study.attrib["ParticipantObjectID"] == "1.2.3.4"
    (sop_class,) = study.iter("SOPClass")
    assert sop_class.attrib == {"UID": DX, "NumberOfInstances": "3"}
    assert patient.attrib["ParticipantObjectID"] == "MÜLLER\ufffd-1", "what XML cannot hold is replaced"
    sender, us = first.xml.findall("ActiveParticipant")
    assert sender.attrib["AlternativeUserID"] == "AETITLES=MODALITY"
    assert (sender.attrib["NetworkAccessPointID"], sender.attrib["NetworkAccessPointTypeCode"]) == ("127.0.0.1", "2")
    assert us.attrib["AlternativeUserID"] == "AETITLES=PNEUMO"
    assert second.objects("2") == [], "an unknown patient is not made up"


def test_a_patient_who_was_erased_is_told_no_more(house: Rooms, receiver: Receiver) -> None:
    house.book(b"x", sop_instance_uid="1.2.3.1", study="1.2.3", patient_id="GONE")
    with house.database.write() as session:
        study = session.scalars(select(Study)).one()
        study.patient_id = study.accession_number = ""
    with forwarding(house.database, receiver.port) as forwarder:
        forwarder.forward()
    receiver.wait_for(2)
    assert not any(message.objects("2") for message in receiver.messages)


def test_every_kind_is_a_valid_message(house: Rooms, receiver: Receiver) -> None:
    image = house.book_radiograph("seed", study="1.2.3")
    about = {
        "application.started": {"host": "box", "pid": 7, "version": "1"},
        "application.stopped": {"host": "box", "pid": 7, "reason": "ValueError"},
        "instances.retrieved": {"studies": ["1.2.3", "1.2.404"], "to": "ELSEWHERE", "failed": 2, "operation": "C-MOVE"},
        "query.answered": {
            "level": "STUDY", "keys": ["PatientID", "StudyDate"], "matches": 1, "address": "10.0.0.1",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.2.2.1",
        },
        "api.exported": {"route": "/v1/predictions.csv", "address": "10.0.0.2", "rows": 5},
        "instance.refused": {"code": "not_authorised"},
        "api.refused": {"why": "scope_missing", "route": "/v1/keys", "address": "10.0.0.3"},
        "delivery.sent": {"destination": "pacs"},
        "delivery.dead": {"destination": "pacs", "code": "refused"},
    }  # fmt: skip
    subjects = {"study.erased": "1.2.3", "application.started": "api", "application.stopped": "api"}
    with house.database.write() as session:
        for kind in WITNESSED:
            record_event(
                session, kind, subject=subjects.get(kind, image), actor="someone", **{"n": 1} | about.get(kind, {})
            )
    with forwarding(house.database, receiver.port) as forwarder:
        forwarder.forward()
    receiver.wait_for(len(WITNESSED))
    assert {message.kind for message in receiver.messages} == {*WITNESSED, "chain.anchored"}
    of_kind = {message.kind: message for message in receiver.messages}
    expected = {
        "application.started": "110100", "application.stopped": "110100", "instance.received": "110104",
        "upload.received": "110107", "delivery.sent": "110104", "delivery.dead": "110104",
        "instances.retrieved": "110104", "query.answered": "110112", "api.read": "110103", "api.exported": "110106",
        "prediction.served": "110103", "study.erased": "110105", "association.refused": "110113",
        "instance.refused": "110113", "api.refused": "110113", "key.created": "110113", "key.revoked": "110113",
        "model.activated": "110113", "model.recalled": "110113", "chain.broken": "110113",
        "session.started": "110114", "session.ended": "110114", "session.refused": "110114",
        "chain.anchored": "110101",
    }  # fmt: skip
    assert {kind: message.event for kind, message in of_kind.items()} == expected
    assert of_kind["chain.broken"].priority == 10 * 8 + 2
    query = of_kind["query.answered"].xml.findtext("ParticipantObjectIdentification/ParticipantObjectQuery")
    dataset = read_dataset(BytesIO(base64.b64decode(query or "")), is_implicit_VR=False, is_little_endian=True)
    assert (dataset.QueryRetrieveLevel, dataset.PatientID, "StudyDate" in dataset) == ("STUDY", "", True)


def test_messages_witness_the_hashes_of_the_chain(house: Rooms, receiver: Receiver) -> None:
    refuse(house.database, 1)
    with forwarding(house.database, receiver.port) as forwarder:
        forwarder.forward()
    receiver.wait_for(2)
    with house.database.read() as session:
        event = session.scalars(select(AuditEvent)).one()
        head = session.scalars(select(ChainHead)).one()
    hashes = {
        (message.kind, detail.attrib["type"]): base64.b64decode(detail.attrib["value"]).hex()
        for message in receiver.messages
        for detail in message.xml.iter("ParticipantObjectDetail")
        if detail.attrib["type"].isdigit()
    }
    assert hashes == {("association.refused", "1"): event.hash, ("chain.anchored", "1"): head.hash}


@pytest.mark.parametrize("kind", KINDS)
def test_outages_lose_nothing_and_keep_the_order(kind: str, tmp_path: Path, receiver: Receiver) -> None:
    with (
        migrated(kind, tmp_path) as url,
        emptied(url, tmp_path) as database,
        forwarding(database, receiver.port) as forwarder,
    ):
        forwarder.start()
        for number in range(1, 121):
            refuse(database, number)
            if number % 30 == 0:
                receiver.stop()
            if number % 30 == 10 and number > 30:
                receiver.start()
        time.sleep(0.1)
        receiver.start()
        deadline = time.monotonic() + 30
        while len(set(told(receiver))) < 120 and time.monotonic() < deadline:
            time.sleep(0.05)
        forwarder.stop()
    rows = told(receiver)
    assert sorted(set(rows)) == list(range(1, 121)), "something was lost"
    firsts = list(dict.fromkeys(rows))
    assert firsts == sorted(firsts), "told for the first time, events come in their order"


def test_what_a_receiver_had_not_read_when_it_broke_down_is_sent_again(house: Rooms, receiver: Receiver) -> None:
    with forwarding(house.database, receiver.port) as forwarder:
        refuse(house.database, 1)
        forwarder.forward()
        receiver.wait_for(2)
        receiver.reads = False
        receiver.stop()
        receiver.start()
        refuse(house.database, 2)
        attempts(forwarder, 2)
        time.sleep(0.1)
        assert 2 not in told(receiver), "its TCP has it, the receiver never read it"
        receiver.stop()
        receiver.reads = True
        receiver.start()
        refuse(house.database, 3)
        attempts(forwarder, 3)
    assert list(dict.fromkeys(told(receiver))) == [1, 2, 3]


def attempts(forwarder: EventForwarding, last: int) -> None:
    """As the thread would: try until the place is reached."""
    for _ in range(5):
        try:
            forwarder.forward()
        except SinkAway:
            continue
        if place(forwarder._database) >= last and forwarder._again_from is None:
            return
    pytest.fail("the events could not be sent")


def test_a_receiver_that_hangs_costs_a_bounded_wait_and_the_place_stays(
    house: Rooms, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_SEND_SECONDS", 0.3)
    receiver.reads = False
    with house.database.write() as session:
        for number in range(200):
            record_event(session, "association.refused", actor="S", cause="x" * 20_000, number=number)
    with forwarding(house.database, receiver.port) as forwarder:
        began = time.monotonic()
        with pytest.raises(SinkAway, match="connection_lost"):
            forwarder.forward()
        assert time.monotonic() - began < 5
        assert place(house.database) == 0
        receiver.reads = True
        forwarder.forward()
    receiver.wait_for(201)
    assert sorted(set(told(receiver))) == list(range(1, 201))


def test_two_workers_tell_each_event_once(house: Rooms, receiver: Receiver) -> None:
    with forwarding(house.database, receiver.port) as one, forwarding(house.database, receiver.port) as other:
        one.start()
        other.start()
        for number in range(60):
            refuse(house.database, number)
        receiver.wait_for(61)
        one.stop()
        other.stop()
    assert sorted(told(receiver)) == list(range(1, 61))


def test_a_worker_that_died_holding_the_turn_is_followed_by_another(house: Rooms, receiver: Receiver) -> None:
    refuse(house.database, 1)
    with house.database.write() as session:
        session.execute(text("INSERT INTO event_readers (name, event_id, at, lease_until, token) VALUES "
                             "('syslog', 0, '2020-01-01', '2999-01-01', 'dead')"))  # fmt: skip
    with forwarding(house.database, receiver.port) as forwarder:
        forwarder.forward()
        assert told(receiver) == []
        with house.database.write() as session:
            session.execute(text("UPDATE event_readers SET lease_until = '2020-01-01' WHERE name = 'syslog'"))
        forwarder.forward()
    receiver.wait_for(2)
    assert told(receiver) == [1]


def test_tls_with_certificates_on_both_sides(house: Rooms, certificates: Certificates) -> None:
    refuse(house.database, 1)
    with (
        receiving(certificates.server_context()) as receiver,
        forwarding(house.database, receiver.port, certificates.tls()) as forwarder,
    ):
        forwarder.forward()
        receiver.wait_for(2)
    assert told(receiver) == [1]


@pytest.mark.parametrize(
    ("server", "ours"),
    [("stranger", "client"), ("elsewhere", "client"), ("server", None), ("server", "stranger")],
    ids=["unknown authority", "another host", "we show none", "ours is unknown"],
)
def test_nothing_is_told_where_tls_does_not_hold(
    house: Rooms, certificates: Certificates, server: str, ours: str | None
) -> None:
    refuse(house.database, 1)
    with (
        receiving(certificates.server_context(server)) as receiver,
        forwarding(house.database, receiver.port, certificates.tls(certificate=ours)) as forwarder,
    ):
        for _ in range(2):
            with pytest.raises(SinkAway):
                forwarder.forward()
        assert receiver.messages == []
    assert place(house.database) == 0, "the event is still to be told"


def test_tls_files_that_cannot_be_used_are_a_configuration_error(house: Rooms, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"nothing\.pem"),
        forwarding(house.database, 1, TLS(ca=tmp_path / "nothing.pem")),
    ):
        pass


def test_the_head_is_anchored_once_an_interval(house: Rooms, receiver: Receiver) -> None:
    refuse(house.database, 1)
    with forwarding(house.database, receiver.port, anchor_seconds=0.5) as forwarder:
        for _ in range(3):
            forwarder.forward()
        receiver.wait_for(2)
        time.sleep(0.6)
        forwarder.forward()
        receiver.wait_for(3)
    assert [message.kind for message in receiver.messages].count("chain.anchored") == 2


def test_doctor_asks_the_receiver(receiver: Receiver, certificates: Certificates, tmp_path: Path) -> None:
    def answer(port: int, tls: TLS | None = None) -> tuple[bool, str]:
        sink = Syslog(host="127.0.0.1", port=port, tls=tls)
        checks = examine(Settings(home=tmp_path, audit=AuditSettings(syslog=sink)))
        return next((check.ok, check.answer) for check in checks if check.name == "audit syslog")

    ok, said = answer(receiver.port)
    assert ok
    assert "patients travel in the clear" in said
    ok, said = answer(free_port())
    assert not ok
    assert "no_connection" in said
    with receiving(certificates.server_context()) as secure:
        assert answer(secure.port, certificates.tls())[0]
        assert not answer(secure.port, certificates.tls(certificate=None))[0]
