"""What a webhook is told, and how its answers are read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from core.destinations import WebhookDestination
from core.records import DeliveryJob, ResultKind
from core.spool import Spool
from dicom.case import Case
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx
from tests.worker.pacs import due
from tests.worker.peers import Reply, Request, web_peer
from worker.answers import Answer, Refused, Sent
from worker.delivery import deliver
from worker.events import event_bytes, event_uid
from worker.webhook import signature_headers

KEY = b"pneumo test secret, 24 bytes at least"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def a_case(outcome: str = "positive") -> Case:
    return Case(as_source(clean_dx()), ANALYSES[outcome], MODEL, "RESEARCH USE ONLY", CREATED)


CAPTURE = (ResultKind.SECONDARY_CAPTURE, "1.2.840.10008.5.1.4.1.1.7", "2.25.7")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path.as_uri())


def jobs(spool: Spool, count: int) -> list[DeliveryJob]:
    case = a_case()
    content = event_bytes(case, [CAPTURE])
    return [due(content, spool, number, sop_class_uid="", sop_instance_uid=event_uid(case)) for number in range(count)]


def send(jobs: list[DeliveryJob], url: str, spool: Spool, **settings: Any) -> list[Answer]:
    destination = WebhookDestination.model_validate(
        {"name": "hook", "type": "webhook", "url": url, "secret": SECRET, "timeout_seconds": 5, **settings}
    )
    return [answer for _, answer in deliver(jobs, destination, spool, "PNEUMO")]


def test_an_event_is_signed_as_the_specification_says(spool: Spool) -> None:
    (job,) = jobs(spool, 1)
    with web_peer(lambda _request: Reply(204)) as peer:
        assert send([job], f"{peer.url}?to=pacs", spool) == [Sent(204)]
    (request,) = peer.requests
    event_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{event_id}.{timestamp}.".encode() + request.body
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"
    assert abs(int(timestamp) - time.time()) < 60
    assert (request.headers["Content-Type"], request.path) == ("application/json", "/dicom-web?to=pacs")
    assert (request.body, event_id) == (spool.read(job.spool_name), job.sop_instance_uid)


def test_the_signature_is_that_of_the_specifications_own_library() -> None:
    """Worked out once by standardwebhooks 1.0 for Python."""
    headers = signature_headers(SECRET, "2.25.17", 1772619630, b'{"type":"prediction.completed"}')
    assert headers == {
        "webhook-id": "2.25.17",
        "webhook-timestamp": "1772619630",
        "webhook-signature": "v1,59/ZLK64l4vWAJM9j/HlQm7O+C/BWnHq7k3SNDsHsso=",
    }


def test_answers_mean_fates(spool: Spool) -> None:
    fates = {
        200: Sent(200),
        202: Sent(202),
        403: Refused("http_403", False, 403, 600.0),
        404: Refused("http_404", True, 404),
        410: Refused("http_410", True, 410),
        422: Refused("http_422", True, 422),
        302: Refused("http_302", False, 302),
        408: Refused("http_408", False, 408),
        425: Refused("http_425", False, 425),
        500: Refused("http_500", False, 500),
        429: Refused("http_429", False, 429, 3.0),
    }
    replies = iter([*fates, 429])

    def reply(_request: Request) -> Reply:
        status = next(replies)
        return Reply(status, headers={"Retry-After": "3"} if status == 429 else {})

    with web_peer(reply) as peer:
        assert send(jobs(spool, len(fates)), peer.url, spool) == list(fates.values())
        assert send(jobs(spool, 3), peer.url, spool) == [fates[429]] * 3
    assert len(peer.requests) == len(fates) + 1  # too many requests is said of all of them


def test_a_secret_that_is_none_is_a_matter_of_configuration(spool: Spool) -> None:
    with web_peer(lambda _request: Reply(200)) as peer:
        answers = send(jobs(spool, 2), peer.url, spool, secret="whsec_not base64")  # noqa: S106 - none
    assert answers == [Refused("not_usable_as_configured", permanent=False)] * 2
    assert peer.requests == []


@pytest.mark.parametrize("outcome", ANALYSES)
def test_an_event_says_the_outcome_and_nothing_of_the_patient(outcome: str) -> None:
    case = a_case(outcome)
    content = event_bytes(case, [CAPTURE])
    assert content == event_bytes(a_case(outcome), [CAPTURE])
    event = json.loads(content)
    assert (event["id"], event["type"], event["timestamp"]) == (
        event_uid(case), "prediction.completed", "2026-03-04T10:20:30.000000Z",
    )  # fmt: skip
    data = event["data"]
    prediction = case.analysis.prediction
    assert data["outcome"] == outcome
    assert data["probability"] == (prediction.probability if prediction else None)
    assert data["study_instance_uid"] == case.source.study_instance_uid
    assert data["warnings"] == [finding.code for finding in case.analysis.warnings]
    assert data["reasons"] == [finding.code for finding in case.analysis.reasons]
    assert data["results"] == [
        {"kind": "secondary_capture", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7", "sop_instance_uid": "2.25.7"}
    ]
    for value in ("Nobody", "NOBODY-1", "20210102", "A-17"):
        assert value.encode() not in content
