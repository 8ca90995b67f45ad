"""Twenty studies through everything: DCMTK's storescu, PostgreSQL, Redis, the model, Orthanc, the API."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
from pydicom import dcmread

from tests.databases import temporary_postgresql
from tests.services import require_images, require_program, require_rabbitmq, require_redis
from tests.system.orthanc import COMPREHENSIVE_SR, SECONDARY_CAPTURE, Orthanc
from tests.system.radiographs import ID_MARKER, NAME_MARKER, Radiograph, write_studies
from tests.system.service import API, DELIVERY, EVERYTHING, INFERENCE, LISTENER, Service, wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Radiograph]:
    return write_studies(require_images(), tmp_path_factory.mktemp("modality") / "studies", 20)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    orthanc = Orthanc(tmp_path / "orthanc")
    yield orthanc
    orthanc.stop()


@pytest.fixture(params=["postgresql+redis", "embedded"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of production, and those of a machine without any server."""
    if request.param == "embedded":
        yield {}
        return
    broker = require_redis()
    redis.Redis.from_url(broker).flushdb()
    with temporary_postgresql() as database:
        yield {"PNEUMO_DATABASE_URL": database, "PNEUMO_BROKER_URL": broker}
    redis.Redis.from_url(broker).flushdb()


def push(service: Service, radiographs: Sequence[Radiograph], calling_ae_title: str = "MODALITY") -> int:
    """storescu's exit code; every transfer syntax is proposed as it is in the file."""
    done = subprocess.run(
        [require_program("storescu"), "-aet", calling_ae_title, "-aec", "PNEUMO", "-R", "-nh", "-xs",
         "127.0.0.1", str(service.listener_port), *(str(radiograph.path) for radiograph in radiographs)],
        capture_output=True, timeout=120, check=False, env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    return done.returncode


def push_each(service: Service, radiographs: Sequence[Radiograph]) -> None:
    """One association per file: storescu's options name one compressed transfer syntax at a time."""
    options = {
        "1.2.840.10008.1.2.1": "-x=",
        "1.2.840.10008.1.2": "-xi",
        "1.2.840.10008.1.2.5": "-xr",
        "1.2.840.10008.1.2.4.70": "-xs",
        "1.2.840.10008.1.2.4.80": "-xt",
        "1.2.840.10008.1.2.4.90": "-xv",
    }
    seen = set()
    for radiograph in radiographs:
        syntax = str(dcmread(radiograph.path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
        seen.add(syntax)
        subprocess.run(
            [require_program("storescu"), "-aet", "MODALITY", "-aec", "PNEUMO", options[syntax],
             "127.0.0.1", str(service.listener_port), str(radiograph.path)],
            check=True, capture_output=True, timeout=60, env={**os.environ, "TCP_NODELAY": "1"},
        )  # fmt: skip
    assert len(seen) == min(len(radiographs), 6), "the studies are meant to come in six transfer syntaxes"


def assert_one_result_each(pacs: Orthanc, service: Service, radiographs: Sequence[Radiograph]) -> None:
    """The PACS holds exactly one SC and one SR per image, and the audit log exactly one outcome."""
    wanted = {radiograph.sop_instance_uid for radiograph in radiographs}
    stored: Counter[tuple[str, str]] = Counter()
    for instance in pacs.instances():
        dataset = dcmread(BytesIO(pacs.file(instance["id"])))
        if dataset.SOPClassUID == SECONDARY_CAPTURE:
            source = dataset.SourceImageSequence[0].ReferencedSOPInstanceUID
        else:
            evidence = dataset.CurrentRequestedProcedureEvidenceSequence
            referenced = {
                item.ReferencedSOPInstanceUID
                for study in evidence
                for series in study.ReferencedSeriesSequence
                for item in series.ReferencedSOPSequence
            }
            (source,) = referenced & wanted
        stored[(source, dataset.SOPClassUID)] += 1
    assert stored == Counter({(uid, kind): 1 for uid in wanted for kind in (SECONDARY_CAPTURE, COMPREHENSIVE_SR)})

    predictions = service.predictions()
    assert Counter(row["sop_instance_uid"] for row in predictions) == Counter(wanted)
    assert {row["outcome"] for row in predictions} <= {"positive", "negative"}


def all_sent(service: Service, images: int) -> bool:
    counts: Counter[str] = Counter()
    for row in service.predictions():
        counts.update(row["deliveries"])
    return counts == Counter({"sent": 2 * images})


def test_twenty_studies_come_back_once_however_often_they_are_sent(
    studies: list[Radiograph],
    pacs: Orthanc,
    tmp_path: Path,
    record_testsuite_property: Any,
) -> None:
    broker = require_redis()
    redis.Redis.from_url(broker).flushdb()
    with temporary_postgresql() as database:
        pacs.start()
        service = Service(
            tmp_path / "service",
            pacs_ae_title=pacs.ae_title,
            pacs_port=pacs.port,
            environment={"PNEUMO_DATABASE_URL": database, "PNEUMO_BROKER_URL": broker},
        )
        try:
            service.start(*EVERYTHING)
            service.wait_ready()
            push_each(service, studies)
            wait_until(lambda: all_sent(service, len(studies)), 120, "every result to be sent")
            assert_one_result_each(pacs, service, studies)
            _assert_api_tells_each(service, studies)
            _report_latency(service, record_testsuite_property)

            before = (service.predictions(), service.ask("/v1/events", kind="delivery.sent", limit="200"))
            push_each(service, studies)
            time.sleep(4)  # longer than an idle study, a sweep and a lost message take together
            after = (service.predictions(), service.ask("/v1/events", kind="delivery.sent", limit="200"))
            assert after == before
            assert_one_result_each(pacs, service, studies)
        finally:
            service.stop()
        _assert_no_patient_outside_the_books(service)


def _assert_api_tells_each(service: Service, studies: Sequence[Radiograph]) -> None:
    for radiograph in studies:
        (row,) = service.ask("/v1/predictions", patient_id=radiograph.patient_id)["items"]
        assert row["sop_instance_uid"] == radiograph.sop_instance_uid
        assert service.ask(f"/v1/studies/{radiograph.study_instance_uid}")["reported_at"] is not None
    right = sum(
        (row["outcome"] == "positive") == radiograph.pneumonia
        for radiograph in studies
        for row in service.ask("/v1/predictions", patient_id=radiograph.patient_id)["items"]
    )
    assert right >= 0.8 * len(studies), "the model is worse than anything it was released with: are pixels inverted?"


def _report_latency(service: Service, record: Any) -> None:
    """Seconds from C-STORE to the SR in the PACS, into the test report and onto the terminal."""
    seconds = []
    for row in service.predictions():
        detail = service.ask(f"/v1/predictions/{row['id']}")
        (report,) = [result for result in detail["results"] if result["sop_class_uid"] == COMPREHENSIVE_SR]
        received = datetime.fromisoformat(detail["instance"]["received_at"])
        seconds.append((datetime.fromisoformat(report["deliveries"][0]["sent_at"]) - received).total_seconds())
    median, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    record("c_store_to_sr_seconds_median", round(median, 2))
    record("c_store_to_sr_seconds_p95", round(p95, 2))
    print(f"\nC-STORE to SR in the PACS over {len(seconds)} studies: median {median:.2f} s, p95 {p95:.2f} s")


def _assert_no_patient_outside_the_books(service: Service) -> None:
    logs = service.logs()
    assert "image_finished" in logs, "the logs under test are empty"
    for marker in (NAME_MARKER, ID_MARKER):
        assert marker not in logs
        assert not [path for path in service.folder.rglob("*") if marker in path.name]


def test_nothing_is_lost_or_doubled_whatever_is_killed(
    studies: list[Radiograph], pacs: Orthanc, tmp_path: Path, environment: dict[str, str]
) -> None:
    radiographs = studies[:12]
    service = Service(
        tmp_path / "service",
        pacs_ae_title=pacs.ae_title,
        pacs_port=pacs.port,
        environment=environment,
        batch_size=4,
        lease_seconds=4,
    )
    try:
        # Everything is sent before a worker or the PACS is there, and then the broker forgets all of it.
        service.start(LISTENER, API)
        service.wait_listening()
        push_each(service, radiographs)
        _forget_messages(service, environment)

        service.start(INFERENCE)
        wait_until(lambda: len(service.predictions()) > 0, 240, "the first batch")
        service.kill(INFERENCE)
        finished = len(service.predictions())
        assert finished < len(radiographs), "the worker was killed too late to show anything"

        service.start(INFERENCE, DELIVERY)
        wait_until(lambda: len(service.predictions()) == len(radiographs), 240, "every image to have an outcome")
        wait_until(lambda: _tried(service), 30, "a delivery to fail while the PACS is down")
        pacs.start()
        wait_until(lambda: len(pacs.get("/instances")) > 0, 30, "the first result in the PACS")
        service.kill(DELIVERY)
        service.start(DELIVERY)
        wait_until(lambda: all_sent(service, len(radiographs)), 90, "every result to be sent")
        assert_one_result_each(pacs, service, radiographs)
    finally:
        service.stop()
    _assert_no_patient_outside_the_books(service)


def _forget_messages(service: Service, environment: dict[str, str]) -> None:
    """Empty the broker, Redis or folder; the messages are looked at first: ids and nothing else."""
    if "PNEUMO_BROKER_URL" in environment:
        client = redis.Redis.from_url(environment["PNEUMO_BROKER_URL"])
        messages = [message.decode() for message in client.lrange("inference", 0, -1)]
        client.flushdb()
    else:
        files = list((service.folder / "home" / "broker" / "messages").iterdir())
        messages = [file.read_text() for file in files]
        for file in files:
            file.unlink()
    assert messages, "the listener sent no wake-up"
    for message in messages:
        assert NAME_MARKER not in message
        assert ID_MARKER not in message
    json.loads(messages[0])


def _tried(service: Service) -> bool:
    rows = service.predictions()
    detail = service.ask(f"/v1/predictions/{rows[0]['id']}")
    return any(delivery["attempts"] > 0 for result in detail["results"] for delivery in result["deliveries"])


def test_rabbitmq_carries_the_same_road(studies: list[Radiograph], pacs: Orthanc, tmp_path: Path) -> None:
    pacs.start()
    service = Service(
        tmp_path / "service",
        pacs_ae_title=pacs.ae_title,
        pacs_port=pacs.port,
        environment={"PNEUMO_BROKER_URL": require_rabbitmq()},
    )
    try:
        service.start(*EVERYTHING)
        service.wait_ready()
        push_each(service, studies[:3])
        wait_until(lambda: all_sent(service, 3), 120, "every result to be sent")
        assert_one_result_each(pacs, service, studies[:3])
    finally:
        service.stop()


def test_a_stranger_is_refused_and_the_refusal_is_recorded(
    studies: list[Radiograph], pacs: Orthanc, tmp_path: Path
) -> None:
    service = Service(tmp_path / "service", pacs_ae_title=pacs.ae_title, pacs_port=pacs.port, environment={})
    try:
        service.start(LISTENER, API)
        service.wait_listening()
        assert push(service, studies[:1], calling_ae_title="STRANGER") != 0
        # The answer goes out before the event is written.
        wait_until(lambda: service.ask("/v1/events", kind="association.refused")["items"] != [], 10, "the event")
        events = service.ask("/v1/events", kind="association.refused")["items"]
        assert [event["actor"] for event in events] == ["STRANGER"]
        assert service.predictions() == []
    finally:
        service.stop()
