"""The message that a receiver of HL7 gets, and how its acknowledgments are read."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from core.destinations import HL7Destination
from core.records import Analysis, DeliveryJob, Finding, Outcome, Prediction
from core.spool import Spool
from dicom.case import Case
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx
from tests.services import free_port
from tests.worker.pacs import due
from tests.worker.peers import Certificates, make_certificates, receiver
from worker.answers import Answer, Refused, Sent
from worker.delivery import deliver
from worker.hl7 import control_id, message_bytes, message_uid

INTENDED_USE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
NO_ANSWER = Refused("no_answer", permanent=False)


def a_case(outcome: str = "positive", **attributes: str) -> Case:
    dataset = clean_dx()
    dataset.update(attributes)
    return Case(as_source(dataset), ANALYSES[outcome], MODEL, INTENDED_USE, CREATED)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path.as_uri())


def a_job(spool: Spool) -> DeliveryJob:
    case = a_case()
    return due(message_bytes(case), spool, sop_class_uid="", sop_instance_uid=message_uid(case))


def send(jobs: list[DeliveryJob], port: int, spool: Spool, **settings: Any) -> list[Answer]:
    destination = HL7Destination(
        name="ris", type="hl7", host="127.0.0.1", port=port, **{"timeout_seconds": 5, **settings}
    )
    return [answer for _, answer in deliver(jobs, destination, spool, "PNEUMO")]


def fields(message: bytes, segment: str) -> list[list[str]]:
    """Field n of each such segment at index n, as it stands in the message."""
    lines = message.decode().removesuffix("\r").split("\r")
    return [line.split("|") for line in lines if line.startswith(segment)]


@pytest.mark.parametrize("outcome", ANALYSES)
def test_a_message_is_valid_and_the_same_every_time(outcome: str) -> None:
    message = message_bytes(a_case(outcome))
    assert message == message_bytes(a_case(outcome))
    assert parse_message(message.decode(), validation_level=VALIDATION_LEVEL.STRICT).validate()
    ((_, _, _, *header),) = fields(message, "MSH")
    assert header[5:] == ["ORU^R01^ORU_R01", control_id(message), "P", "2.5.1", "", "", "", "", "", "UNICODE UTF-8"]
    assert len(control_id(message)) == 20
    presence = {"positive": "52101004^Present^SCT", "negative": "272519000^Absent^SCT"}
    values = {(line[2], line[3]): line[5] for line in fields(message, "OBX")}
    assert values["CE", "233604007^Pneumonia^SCT"] == presence.get(outcome, "373068000^Undetermined^SCT")
    assert (("NM", "111012^Certainty of Finding^DCM") in values) == (outcome in presence)


def test_what_stands_where() -> None:
    message = message_bytes(a_case(IssuerOfPatientID="HOSPITAL"))
    ((_, *patient),) = fields(message, "PID")
    assert patient == ["1", "", "NOBODY-1^^^HOSPITAL^PI", "", "Nobody^Nina^^^^^L^A", "", "20210102", "F"]
    ((_, *order),) = fields(message, "OBR")
    assert (order[1], order[2], order[17]) == ("A-17", "A-17", "A-17")
    assert (order[3], order[6], order[24]) == ("363679005^Imaging procedure^SCT", "20251112083000", "P")
    certainty = next(line for line in fields(message, "OBX") if line[2] == "NM")
    assert (certainty[5], certainty[6], certainty[11]) == ("87.3", "%^Percent^UCUM", "P")
    comments = [(line[4], line[5]) for line in fields(message, "OBX") if line[2] == "TX"]
    assert comments[0] == ("1", INTENDED_USE)
    assert comments[1][1].startswith("Pneumonia: signs found.")
    assert comments[2] == ("3", "Warning age_unknown: the header does not tell the age")


def test_text_cannot_become_structure() -> None:
    case = a_case(PatientName=r"O|B~r&i\F\en^A\\", PatientID="1|2^3&4~5")
    analysis = Analysis(
        Outcome.POSITIVE, Prediction("pneumonia", 0.9, 0.5), warnings=(Finding("odd", "a\rPID|9^b\\.br\\c\udcff"),)
    )
    case = Case(case.source, analysis, MODEL, INTENDED_USE, CREATED)
    message = message_bytes(case)
    ((_, *patient),) = fields(message, "PID")
    assert patient[2] == r"1\F\2\S\3\T\4\R\5^^^^PI"
    assert [line[5] for line in fields(message, "OBX") if line[4] == "3"] == [r"Warning odd: a PID\F\9\S\b\E\.br\E\c "]


def test_a_name_in_several_scripts() -> None:
    dataset = clean_dx()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Yamada^Tarou^^Dr^Jr=山田^太郎=やまだ^たろう"
    message = message_bytes(Case(as_source(dataset), ANALYSES["negative"], MODEL, INTENDED_USE, CREATED))
    ((_, *patient),) = fields(message, "PID")
    assert patient[4] == "Yamada^Tarou^^Jr^Dr^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"


def acknowledge(code: str, sent: bytes, of: str = "") -> bytes:
    answer = f"MSH|^~\\&|RIS||pneumo||20260304||ACK^R01|77|P|2.3.1\rMSA|{code}|{of or control_id(sent[1:])}\r"
    return b"\x0b" + answer.encode() + b"\x1c\r"


def test_acknowledgments_mean_fates(spool: Spool) -> None:
    fates = {
        "AA": Sent(0),
        "CA": Sent(0),
        "AE": Refused("application_error", permanent=True),
        "AR": Refused("application_reject", permanent=False),
        "CE": Refused("commit_error", permanent=False),
        "CR": Refused("commit_reject", permanent=True),
        "XX": NO_ANSWER,
    }
    codes = iter(fates)
    with receiver(lambda sent, connection: connection.sendall(acknowledge(next(codes), sent))) as peer:
        job = a_job(spool)
        answers = send(
            [job] * len(fates), peer.port, spool, sending_facility="LAB", receiving_application="RIS^1.2^ISO",
            receiving_facility="A|B",
        )  # fmt: skip
    assert answers == list(fates.values())
    assert len(peer.blocks) == len(fates)
    block = peer.blocks[0]
    assert (block[:1], block[-2:]) == (b"\x0b", b"\x1c\r")
    assert block[1:].startswith(rb"MSH|^~\&|pneumo|LAB|RIS^1.2^ISO|A\F\B|20260304102030+0000||")
    stored = spool.read(job.spool_name)
    assert block[1:-2].partition(b"\r")[2] == stored.partition(b"\r")[2]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x0b\x1c\r",
        b"\x0bMSH|^~\\&|\rMSA\r\x1c\r",
        b"\x0b\xff\xfe\x00\x1c\r",
        b"x" * 200_000,
        acknowledge("AA", b"", of="another"),
        acknowledge("AA", b"", of="cut")[:-5],
    ],
)
def test_what_is_no_acknowledgment_is_no_answer(answer: bytes, spool: Spool) -> None:
    with receiver(lambda _sent, connection: connection.sendall(answer)) as peer:
        assert send([a_job(spool)], peer.port, spool) == [NO_ANSWER]


def test_an_acknowledgment_may_come_in_pieces(spool: Spool) -> None:
    def in_pieces(sent: bytes, connection: socket.socket) -> None:
        for byte in acknowledge("AA", sent):
            connection.sendall(bytes([byte]))
            time.sleep(0.001)

    with receiver(in_pieces) as peer:
        assert send([a_job(spool)], peer.port, spool) == [Sent(0)]


def test_a_receiver_that_drips_is_given_up_in_time_and_not_asked_on(spool: Spool) -> None:
    def drip(_sent: bytes, connection: socket.socket) -> None:
        for _ in range(20):
            connection.sendall(b"\x0b")
            time.sleep(0.1)

    with receiver(drip) as peer:
        clock = time.monotonic()
        assert send([a_job(spool), a_job(spool)], peer.port, spool, timeout_seconds=0.4) == [NO_ANSWER] * 2
        assert time.monotonic() - clock < 1.5
    assert len(peer.blocks) == 1
    assert send([a_job(spool)], free_port(), spool) == [Refused("no_connection", permanent=False)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_tls_with_a_certificate_on_either_side(certificates: Certificates, spool: Spool) -> None:
    refused = [Refused("tls_refused", permanent=False)] * 2
    with receiver(
        lambda sent, connection: connection.sendall(acknowledge("AA", sent)), certificates.server_context()
    ) as peer:
        assert send([a_job(spool)], peer.port, spool, tls=certificates.tls()) == [Sent(0)]
        for tls in (certificates.tls(ca="stranger"), certificates.tls(certificate=None)):
            assert send([a_job(spool)] * 2, peer.port, spool, tls=tls) == refused
