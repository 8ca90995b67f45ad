"""Every answer of a PACS that is stored to over HTTP, from servers on loopback and from Orthanc."""

from __future__ import annotations

import json
import time
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydicom.uid import ComprehensiveSRStorage

from core.destinations import DICOMwebDestination
from core.records import DeliveryJob
from core.spool import Spool
from tests.services import free_port
from tests.system.orthanc import DICOMWEB, Orthanc
from tests.worker.pacs import stored
from tests.worker.peers import Certificates, Reply, Request, WebPeer, make_certificates, web_peer
from worker.answers import Answer, Refused, Sent
from worker.delivery import deliver

PASSING = Refused("not_in_answer", permanent=False, status=200)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool((tmp_path / "spool").as_uri())


def to(peer: WebPeer, **settings: Any) -> DICOMwebDestination:
    return DICOMwebDestination(name="pacs", type="dicomweb", url=peer.url, **{"timeout_seconds": 5.0, **settings})


def send(jobs: list[DeliveryJob], destination: DICOMwebDestination, spool: Spool) -> list[Answer]:
    answered = list(deliver(jobs, destination, spool, "PNEUMO"))
    assert [delivery.id for delivery, _ in answered] == [delivery.id for delivery in jobs]
    return [answer for _, answer in answered]


def as_json(sequence: str, uid: str, **reason: int) -> bytes:
    """A Store Instances Response with one item; ``reason``: tag to code."""
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    item |= {tag[1:]: {"vr": "US", "Value": [code]} for tag, code in reason.items()}
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()


def as_xml(sequence: str, uid: str, reason: str = "") -> bytes:
    return (
        '<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        f'<DicomAttribute tag="{sequence}" vr="SQ"><Item number="1"><DicomAttribute tag="00081155" vr="UI">'
        f'<Value number="1">{uid}</Value></DicomAttribute>{reason}</Item></DicomAttribute></NativeDicomModel>'
    ).encode()


def all_stored(request: Request) -> Reply:
    return Reply(200, as_json("00081199", uid_in(request)))


def part_of(request: Request) -> bytes:
    """The one part of a multipart request, by Python's own parser."""
    message = message_from_bytes(
        b"Content-Type: " + request.headers["Content-Type"].encode() + b"\r\n\r\n" + request.body, policy=HTTP
    )
    assert message.get_content_type() == "multipart/related"
    assert message.get_param("type") == "application/dicom"
    (part,) = message.iter_parts()  # type: ignore[attr-defined]
    assert part.get_content_type() == "application/dicom"
    return bytes(part.get_payload(decode=True))


def uid_in(request: Request) -> str:
    start = request.body.index(b"\x08\x00\x18\x00UI")
    length = int.from_bytes(request.body[start + 6 : start + 8], "little")
    return request.body[start + 8 : start + 8 + length].decode().strip("\0")


def test_the_stored_bytes_go_as_they_are_over_one_connection(spool: Spool) -> None:
    jobs = [stored(spool, number) for number in range(3)]
    with web_peer(all_stored) as peer:
        signed_in = to(peer, bearer_token=SecretStr("abc"))
        assert send(jobs, signed_in, spool) == [Sent(0)] * 3
    assert [part_of(request) for request in peer.requests] == [spool.read(job.spool_name) for job in jobs]
    assert {request.path for request in peer.requests} == {"/dicom-web/studies"}
    assert {request.headers["Authorization"] for request in peer.requests} == {"Bearer abc"}
    assert len(peer.connections) == 1


def test_a_password_goes_as_basic_authentication(spool: Spool) -> None:
    with web_peer(all_stored) as peer:
        send([stored(spool)], to(peer, username="pneumo", password=SecretStr("gehéim")), spool)
    assert peer.requests[0].headers["Authorization"] == "Basic cG5ldW1vOmdlaMOpaW0="


FAILURE, WARNING = "_00081197", "_00081196"
WITH_ENTITY = as_xml("00081199", "&uid;").replace(b"?>", b'?><!DOCTYPE a [<!ENTITY uid "UID">]>', 1)
ANSWERS: list[tuple[Reply, Answer]] = [
    (Reply(200, as_json("00081199", "UID", **{WARNING: 0xB000})), Sent(0xB000)),
    (Reply(200, as_json("00081199", "UID"), "application/dicom+json; charset=utf-8"), Sent(0)),
    (Reply(200, as_xml("00081199", "UID"), "application/dicom+xml"), Sent(0)),
    (Reply(200), Sent(0)),
    (Reply(202, as_json("00081198", "UID", **{FAILURE: 0x0111})), Sent(0x0111)),
    (Reply(202, as_json("00081198", "UID", **{FAILURE: 0x0110})), Refused("refused", False, 0x0110)),
    (Reply(202, as_json("00081198", "UID", **{FAILURE: 0xA700})), Refused("out_of_resources", False, 0xA700)),
    (Reply(409, as_json("00081198", "UID", **{FAILURE: 0x0122})), Refused("sop_class_not_supported", True, 0x0122)),
    (Reply(409, as_json("00081198", "UID", **{FAILURE: 0xC123})), Refused("cannot_understand", True, 0xC123)),
    (
        Reply(
            409,
            as_xml(
                "00081198", "UID", '<DicomAttribute tag="00081197"><Value number="1">43264</Value></DicomAttribute>'
            ),
            "text/xml",
        ),
        Refused("data_set_does_not_match_sop_class", True, 0xA900),
    ),
    # Listed as failed, whatever the code says
    (Reply(202, as_json("00081198", "UID")), Refused("refused", False)),
    (Reply(202, as_json("00081198", "UID", **{FAILURE: 0})), Refused("refused", False, 0)),
    # No answer about this object
    (Reply(200, as_json("00081199", "1.2.3")), PASSING),
    (Reply(200, b"{}"), PASSING),
    (Reply(200, b"<html>sign in</html>", "text/html"), PASSING),
    (Reply(200, b"[" * 200_000), PASSING),
    (Reply(200, b'{"00081199": {"Value": [[], 3, {"00081155": 7}]}, "00081198": []}'), PASSING),
    (Reply(200, WITH_ENTITY, "application/dicom+xml"), PASSING),
    (Reply(200, as_json("00081199", "UID") + b" " * 1024**2), PASSING),
    (Reply(202), Refused("not_in_answer", False, 202)),
    # The request as a whole
    (Reply(301, headers={"Location": "/elsewhere"}), Refused("http_301", True, 301)),
    (Reply(302, headers={"Location": "/elsewhere"}), Refused("http_302", False, 302)),
    (Reply(400), Refused("http_400", True, 400)),
    (Reply(401), Refused("http_401", False, 401, 600.0)),
    (Reply(401, headers={"Retry-After": "900"}), Refused("http_401", False, 401, 900.0)),
    (Reply(403), Refused("http_403", False, 403, 600.0)),
    (Reply(407), Refused("http_407", False, 407, 600.0)),
    (Reply(408), Refused("http_408", False, 408)),
    (Reply(409), Refused("http_409", True, 409)),
    (Reply(413), Refused("http_413", True, 413)),
    (Reply(415), Refused("http_415", True, 415)),
    (Reply(429, headers={"Retry-After": "120"}), Refused("http_429", False, 429, 120.0)),
    (Reply(500), Refused("http_500", False, 500)),
    (Reply(503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), Refused("http_503", False, 503)),
]


def test_an_answer_means_a_fate(spool: Spool) -> None:
    replies = iter([reply for reply, _ in ANSWERS])

    def reply(request: Request) -> Reply:
        answer = next(replies)
        return Reply(
            answer.status, answer.body.replace(b"UID", uid_in(request).encode()), answer.media_type, answer.headers
        )

    with web_peer(reply) as peer:
        answers = [send([stored(spool)], to(peer), spool)[0] for _ in ANSWERS]
        assert len(peer.requests) == len(ANSWERS)
    assert answers == [answer for _, answer in ANSWERS]


def test_a_pacs_without_reports_takes_the_pictures(spool: Spool) -> None:
    jobs = [stored(spool, 1), stored(spool, 2, ComprehensiveSRStorage), stored(spool, 3)]

    def reply(request: Request) -> Reply:
        if ComprehensiveSRStorage.encode() in request.body:
            return Reply(409, as_json("00081198", uid_in(request), **{FAILURE: 0x0122}))
        return all_stored(request)

    with web_peer(reply) as peer:
        assert send(jobs, to(peer), spool) == [Sent(0), Refused("sop_class_not_supported", True, 0x0122), Sent(0)]


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_takes_nothing_is_not_asked_on(status: int, spool: Spool) -> None:
    with web_peer(lambda _request: Reply(status)) as peer:
        first, second = send([stored(spool, 1), stored(spool, 2)], to(peer), spool)
    assert first == second
    assert len(peer.requests) == 1


def test_a_redirection_takes_neither_results_nor_credentials_elsewhere(spool: Spool) -> None:
    with web_peer(all_stored) as other:
        moved = Reply(307, headers={"Location": f"{other.url}/studies"})
        with web_peer(lambda _request: moved) as peer:
            send([stored(spool)], to(peer, bearer_token=SecretStr("abc")), spool)
    assert (len(peer.requests), other.requests) == (1, [])


def test_a_server_that_never_answers_or_is_not_there(spool: Spool) -> None:
    def silence(_request: Request) -> Reply:
        time.sleep(1)
        return Reply(200)

    with web_peer(silence) as peer:
        jobs = [stored(spool, 1), stored(spool, 2)]
        assert send(jobs, to(peer, timeout_seconds=0.3), spool) == [Refused("no_answer", permanent=False)] * 2
    assert len(peer.requests) == 1
    nobody = WebPeer(f"http://127.0.0.1:{free_port()}")
    assert send([stored(spool)], to(nobody), spool) == [Refused("no_connection", permanent=False)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_tls_with_a_certificate_on_either_side(certificates: Certificates, spool: Spool) -> None:
    refused = [Refused("tls_refused", permanent=False)] * 2
    with web_peer(all_stored, certificates.server_context()) as peer:
        assert send([stored(spool)], to(peer, tls=certificates.tls()), spool) == [Sent(0)]
        for tls in (certificates.tls(ca="stranger"), certificates.tls(certificate=None), None):
            assert send([stored(spool)] * 2, to(peer, tls=tls), spool) == refused
    with web_peer(all_stored, certificates.server_context("elsewhere")) as peer:
        assert send([stored(spool)] * 2, to(peer, tls=certificates.tls()), spool) == refused
    assert peer.requests == []


def test_orthanc_takes_the_bytes_as_they_are(spool: Spool, tmp_path: Path) -> None:
    orthanc = Orthanc(tmp_path / "orthanc", plugins=[DICOMWEB])
    peer = WebPeer(f"{orthanc.url}/dicom-web")
    jobs = [stored(spool, 1), stored(spool, 2, ComprehensiveSRStorage)]
    orthanc.start()
    try:
        assert send(jobs, to(peer), spool) == [Sent(0), Sent(0)]
        assert send(jobs, to(peer), spool) == [Sent(0), Sent(0)]  # it has them: a repeat is no failure
        kept = {instance["sop_instance_uid"]: orthanc.file(instance["id"]) for instance in orthanc.instances()}
    finally:
        orthanc.stop()
    assert kept == {job.sop_instance_uid: spool.read(job.spool_name) for job in jobs}
