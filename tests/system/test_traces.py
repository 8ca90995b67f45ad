"""One trace goes from an HTTP request through the worker, and tells nothing of a patient."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from audit.api_keys import create_key
from audit.studies import release_idle_studies
from core import tracing as core_tracing
from core.destinations import FolderDestination
from core.errors import ConfigurationError
from core.scopes import Scope
from core.settings import Settings
from core.tracing import record_span, span, traceparent, tracing
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.api.conftest import serving
from tests.services import free_port
from tests.system.otlp_receiver import Collector, collecting
from tests.worker.rooms import Rooms, radiograph_file, rooms
from worker.inference import InferenceRoom
from worker.outbox import Outbox

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    (tmp_path / "share").mkdir()
    with rooms(tmp_path / "home", FolderDestination(name="share", type="folder", path=tmp_path / "share")) as made:
        yield made


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


@contextmanager
def working(room: InferenceRoom) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            room.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_one_trace_from_the_request_through_the_worker(
    house: Rooms, collector: Collector, classifier: Classifier
) -> None:
    with house.database.write() as session:
        key = create_key(session, "ward", "cli:test", [Scope.PREDICT])
    port = free_port()
    settings = house.settings.model_copy(update={"otlp_endpoint": collector.endpoint})
    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
    with (
        tracing(collector.endpoint, "test"),
        serving(settings, house.database),
        working(house.inference(classifier)),
    ):
        answer = httpx.post(
            f"http://127.0.0.1:{port}/predict",
            files={"file": ("SECRETNAME.dcm", radiograph_file("trace", patient_id="SECRETPATIENT"))},
            headers={"X-API-Key": key, "traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "ward-1"},
            timeout=60,
        )
        httpx.get(f"http://127.0.0.1:{port}/v1/predictions?patient_id=QUERYSECRET", headers={"X-API-Key": key})
    assert answer.status_code == 200, answer.text
    collector.wait_for("GET /v1/predictions")
    request = collector.wait_for("POST /predict")
    assert (request.trace_id, request.parent_id, request.process) == (TRACE, PARENT, "pneumo.test")
    assert request.attributes["http.route"] == "/predict"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["pneumo.request_id"] == "ward-1"
    wait, analysis = collector.wait_for("wait for the model"), collector.wait_for("analyse image")
    assert {wait.trace_id, analysis.trace_id} == {TRACE}
    assert {wait.parent_id, analysis.parent_id} == {request.span_id}
    stages = {each.name for each in collector.spans if each.parent_id == analysis.span_id}
    assert {"read", "predict", "build", "store"} <= stages
    assert 0 < analysis.seconds <= request.seconds + 1
    for secret in (b"SECRETPATIENT", b"SECRETNAME", b"QUERYSECRET", key.encode()):
        assert secret not in collector.raw


def test_an_image_that_was_received_is_traced_through_analysis_and_delivery(
    house: Rooms, collector: Collector, classifier: Classifier
) -> None:
    with tracing(collector.endpoint, "test"):
        with span("C-STORE", kind="server"):
            uid = house.book_radiograph("road")
        house.inference(classifier).drain()
        with house.database.write() as session:
            time.sleep(0.05)
            release_idle_studies(session, 0, conclude=False)
        Outbox(house.settings, house.database, house.spool).drain()
    store, analysis = collector.wait_for("C-STORE"), collector.wait_for("analyse image")
    assert (analysis.trace_id, analysis.parent_id) == (store.trace_id, store.span_id)
    assert analysis.attributes["sop_instance_uid"] == uid
    delivery = collector.wait_for("deliver")
    assert (delivery.attributes["destination"], delivery.attributes["answer"], delivery.failed) == (
        "share",
        "sent",
        False,
    )


def test_a_failure_tells_its_class_and_not_its_text(collector: Collector) -> None:
    with tracing(collector.endpoint, "test"), pytest.raises(ValueError, match="SECRET"), span("work"):
        raise ValueError("SECRET")
    assert collector.wait_for("work").failed
    assert b"ValueError" in collector.raw
    assert b"SECRET" not in collector.raw


def test_no_endpoint_no_trace_no_import() -> None:
    with tracing("", "test"), span("work", sop_instance_uid="1.2.3") as active:
        record_span("deliver", {"send": 1.0})
        assert active is None
        assert traceparent() == ""


def test_a_collector_that_is_away_costs_nothing_but_the_traces() -> None:
    began = time.monotonic()
    with tracing(f"http://127.0.0.1:{free_port()}", "test"), span("work"):
        assert traceparent().startswith("00-")
    assert time.monotonic() - began < 15


def test_a_parent_that_is_none_is_a_trace_of_its_own(collector: Collector) -> None:
    with tracing(collector.endpoint, "test"):
        for bad in ("", "nonsense", f"00-{'0' * 32}-{PARENT}-01"):
            with span("work", parent=bad):
                assert traceparent().split("-")[1] != "0" * 32
    assert len({each.trace_id for each in collector.spans}) == 3


def test_packages_that_are_missing_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"pneumo\[tracing\]"), tracing("http://127.0.0.1:1", "test"):
        pass
    assert core_tracing._tracer is None
    assert Settings(otlp_endpoint="http://127.0.0.1:4318").otlp_endpoint
