"""The published API: a client written from its documentation gets its answers."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from audit.models import AuditEvent, Instance, Job, Prediction, Study, Upload
from audit.session import Database
from core.records import Analysis, InferenceJob
from core.scopes import Scope
from core.spool import Spool
from tests.api.answering_worker import IN_CHARGE, AnsweringWorker, answering, failed, png
from tests.api.conftest import StartAPI
from tests.api.prediction_clients import client_with, key_of, settings_of_api
from tests.audit.rows import not_analysed, positive
from tests.worker.rooms import radiograph_file


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool((tmp_path / "home" / "spool").as_uri())


@pytest.fixture
def worker(database: Database, spool: Spool) -> Iterator[AnsweringWorker]:
    with answering(AnsweringWorker(database, spool)) as worker:
        yield worker


@pytest.fixture
def client(start_api: StartAPI, database: Database) -> httpx.Client:
    client = start_api(api=settings_of_api())
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    return client


def events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


def test_what_a_client_of_the_published_api_gets(client: httpx.Client, worker: AnsweringWorker) -> None:
    answer = client.post(
        "/predict",
        files={"file": ("chest.png", png(), "image/png")},
        data={"patient_id": "P-17", "use_tta": "false"},
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert {name: said[name] for name in ("status", "prediction", "confidence", "probabilities", "patient_id")} == {
        "status": "success",
        "prediction": "PNEUMONIA",
        "confidence": 88.5,
        "probabilities": {"NORMAL": 11.5, "PNEUMONIA": 88.5},
        "patient_id": "P-17",
    }
    assert said["image_size"] == [60, 40]
    assert said["warnings"] is None
    assert isinstance(said["processing_time_ms"], float)
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None


def test_the_predicted_class_goes_by_the_threshold(client: httpx.Client, worker: AnsweringWorker) -> None:
    worker.say = lambda _job: positive(0.3, "low_resolution")
    said = client.post("/predict", files={"file": png()}).json()
    assert (said["prediction"], said["confidence"]) == ("NORMAL", 70.0)
    assert said["patient_id"] is None
    assert said["warnings"] == ["About low_resolution."]
    assert said["warning_codes"] == ["low_resolution"]


def test_health_and_model_follow_the_workers(client: httpx.Client, database: Database, spool: Spool) -> None:
    assert client.get("/health").status_code == 503
    assert client.get("/model/info").json()["code"] == "unavailable"
    AnsweringWorker(database, spool).beat()
    time.sleep(2.1)  # the answer of /health may be this old
    health = client.get("/health", headers={"Authorization": ""})
    assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (200, "healthy", True)
    assert health.json()["api_version"]
    info = client.get("/model/info").json()
    assert info.pop("device_uid") == IN_CHARGE.device_uid
    assert info == {
        "model_name": IN_CHARGE.name,
        "version": IN_CHARGE.version,
        "accuracy": 0.951,
        "num_parameters": 2_225_153,
        "device": "cpu",
        "class_names": ["NORMAL", "PNEUMONIA"],
        "image_size": [224, 224],
    }


def test_a_dicom_file_tells_its_patient_and_keeps_its_uids_to_itself(
    client: httpx.Client, worker: AnsweringWorker, database: Database, spool: Spool
) -> None:
    content = radiograph_file("one", patient_id="OF-THE-FILE")
    mine = client.post("/predict", files={"file": content}).json()
    given = client.post("/predict", files={"file": content}, data={"patient_id": "GIVEN"}).json()
    assert (mine["patient_id"], given["patient_id"]) == ("OF-THE-FILE", "GIVEN")
    assert mine["image_size"] == [600, 440]
    with database.read() as session:
        uploads = session.scalars(select(Upload).order_by(Upload.id)).all()
        first = uploads[0].instance
        assert len({upload.original_sop_instance_uid for upload in uploads}) == 1
        assert first.sop_instance_uid == mine["sop_instance_uid"] != uploads[0].original_sop_instance_uid
        assert first.source.name == "api"
        assert first.study.reported_at is not None, "nothing of it is released"
        assert first.study.concluded_at is not None
        assert spool.read(first.spool_name) == content


def test_every_prediction_is_on_record_without_its_patient(
    client: httpx.Client, worker: AnsweringWorker, database: Database
) -> None:
    content = png()
    said = client.post("/predict", files={"file": content}, data={"patient_id": "SECRET-9"}).json()
    (received,), (served,) = events(database, "upload.received"), events(database, "prediction.served")
    assert received.actor == served.actor == "ward"
    assert received.data["sha256"] == hashlib.sha256(content).hexdigest()
    assert received.data["address"] == "127.0.0.1"
    assert (served.subject, served.data["prediction"]) == (said["sop_instance_uid"], said["prediction_id"])
    assert served.data["cached"] is False
    with database.read() as session:
        assert not [event for event in session.scalars(select(AuditEvent)) if "SECRET-9" in str(event.data)]
        (job,) = session.scalars(select(Job))
    assert job.request_id == received.data["request_id"]


def test_the_same_image_is_answered_from_the_books(
    client: httpx.Client, worker: AnsweringWorker, database: Database
) -> None:
    first = client.post("/predict", files={"file": png()}).json()
    again = client.post("/predict", files={"file": png()}).json()
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["prediction_id"] == first["prediction_id"]
    assert len(worker.jobs) == 1
    views = client.post("/predict", files={"file": png()}, data={"use_tta": "true"}).json()
    patient = client.post("/predict", files={"file": png()}, data={"patient_id": "P"}).json()
    assert views["model"]["device_uid"] == IN_CHARGE.device_uid_with_tta
    assert not views["cached"]
    assert not patient["cached"], "another patient's image is another image"
    assert [event.data["cached"] for event in events(database, "prediction.served")] == [False, True, False, False]


def test_another_model_in_charge_is_asked_again(
    client: httpx.Client, worker: AnsweringWorker, database: Database
) -> None:
    first = client.post("/predict", files={"file": png()}).json()
    worker.become(replace(IN_CHARGE, device_uid="2.25.21", device_uid_with_tta="2.25.22", version="2.0.0"))
    second = client.post("/predict", files={"file": png()}).json()
    assert (first["model"]["version"], second["model"]["version"]) == ("1.0.0", "2.0.0")
    assert not second["cached"]
    assert second["sop_instance_uid"] == first["sop_instance_uid"]
    worker.become(IN_CHARGE)
    back = client.post("/predict", files={"file": png()}).json()
    assert (back["prediction_id"], back["cached"]) == (first["prediction_id"], True)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == 1
        assert session.scalar(select(func.count()).select_from(Prediction)) == 2


def test_callers_share_nothing(client: httpx.Client, worker: AnsweringWorker, database: Database) -> None:
    client.post("/predict", files={"file": png()})
    with client_with(key_of(database, "other-ward"), client) as other:
        said = other.post("/predict", files={"file": png()}).json()
        assert not said["cached"]
        assert other.get(f"/v1/predict/{said['sop_instance_uid']}").json()["prediction_id"] == said["prediction_id"]
    assert client.get(f"/v1/predict/{said['sop_instance_uid']}").status_code == 404


def test_ten_who_give_the_same_image_at_once(
    client: httpx.Client, worker: AnsweringWorker, database: Database, spool: Spool
) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.post("/predict", files={"file": png()}), range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len({answer.json()["prediction_id"] for answer in answers}) == 1
    assert len(worker.jobs) == 1
    assert spool.local_root is not None
    assert len([path for path in (spool.local_root / "received").rglob("*") if path.is_file()]) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Study)) == 1


@pytest.mark.parametrize(
    ("analysis", "expected", "word"),
    [
        (not_analysed("not_frontal", "no_chest"), (422, "not_analysable"), "no_chest"),
        (failed("undecodable_pixels"), (422, "no_image"), "undecodable_pixels"),
        (failed("worker_lost"), (500, "analysis_failed"), "worker_lost"),
    ],
)
def test_an_outcome_that_is_no_prediction(
    client: httpx.Client, worker: AnsweringWorker, analysis: Analysis, expected: tuple[int, str], word: str
) -> None:
    worker.say = lambda _job: analysis
    for _ in range(2):
        answer = client.post("/predict", files={"file": png()})
        assert (answer.status_code, answer.json()["code"]) == expected
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert word in answer.json()["detail"]
    assert len(worker.jobs) == 1


def test_a_late_answer_is_told_where_location_says(start_api: StartAPI, database: Database, spool: Spool) -> None:
    client = start_api(api=settings_of_api(predict_timeout_seconds=0.3))
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    began = time.monotonic()
    busy = client.post("/predict", files={"file": png()}, data={"patient_id": "P"})
    assert time.monotonic() - began < 10, "30 s is the time that a caller waits unless it is set"
    assert (busy.status_code, busy.json()["code"]) == (503, "model_busy")
    assert int(busy.headers["Retry-After"]) > 0
    assert client.get(busy.headers["Location"]).json()["code"] == "model_busy"
    with answering(AnsweringWorker(database, spool)):
        deadline = time.monotonic() + 10
        while (answer := client.get(busy.headers["Location"])).status_code != 200:
            assert time.monotonic() < deadline
        assert answer.json()["patient_id"] == "P"
        assert client.post("/predict", files={"file": png()}, data={"patient_id": "P"}).json()["cached"]


def test_one_who_hangs_up_is_not_waited_for(
    client: httpx.Client, database: Database, spool: Spool, worker: AnsweringWorker
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slowly(_job: InferenceJob) -> Analysis:
        asked.set()
        answer.wait(10)
        return positive()

    worker.say = slowly
    with pytest.raises(httpx.ReadTimeout):
        client.post("/predict", files={"file": png()}, timeout=0.5)
    assert asked.wait(5)
    answer.set()
    said = client.post("/predict", files={"file": png()}).json()
    assert said["prediction"] == "PNEUMONIA"
    assert len(worker.jobs) == 1, "what was asked for is analysed all the same, once"
    assert len(events(database, "prediction.served")) == 1


def test_the_broker_may_be_away(start_api: StartAPI, database: Database, worker: AnsweringWorker) -> None:
    client = start_api(api=settings_of_api(), broker_url="redis://127.0.0.1:1/0")
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    assert client.post("/predict", files={"file": png()}).status_code == 200


def test_a_batch_keeps_its_order(client: httpx.Client, worker: AnsweringWorker) -> None:
    files = [("files", (f"{shade}.png", png(shade), "image/png")) for shade in range(3)]
    whole = client.post("/v1/predict/batch", files=files, data={"patient_id": ["A", "B", "C"]})
    assert (whole.status_code, whole.json()["status"]) == (200, "success")
    assert [item["answer"]["patient_id"] for item in whole.json()["results"]] == ["A", "B", "C"]
    files.insert(1, ("files", ("text.png", b"no image", "image/png")))
    partial = client.post("/v1/predict/batch", files=files, data={"patient_id": "A"})
    assert (partial.status_code, partial.json()["status"]) == (207, "partial")
    results = partial.json()["results"]
    assert [item["answer"] is None for item in results] == [False, True, False, False]
    assert results[1]["problem"]["code"] == "no_image"
    assert results[0]["answer"]["prediction_id"] == whole.json()["results"][0]["answer"]["prediction_id"]


def test_a_batch_has_its_most(start_api: StartAPI, database: Database) -> None:
    client = start_api(api=settings_of_api(maximum_batch=2))
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    refused = client.post("/v1/predict/batch", files=[("files", png(shade)) for shade in range(3)])
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_key_without_the_scope_is_refused_before_its_body_is_read(client: httpx.Client, database: Database) -> None:
    with client_with(key_of(database, "reader", [Scope.AUDIT_READ, Scope.PHI_READ]), client) as reader:
        assert reader.post("/predict", content=b"x").json()["code"] == "scope_missing"
    assert client.post("/predict", files={"file": png()}, headers={"Authorization": ""}).status_code == 401


@pytest.mark.usefixtures("worker")
class TestIdempotency:
    def post(self, client: httpx.Client, key: str, shade: int = 0, patient: str = "P") -> httpx.Response:
        return client.post(
            "/predict", files={"file": png(shade)}, data={"patient_id": patient}, headers={"Idempotency-Key": key}
        )

    def test_a_repeated_request_gets_the_same_answer(self, client: httpx.Client, database: Database) -> None:
        first, again = self.post(client, '"one"'), self.post(client, "one")
        assert first.json() == again.json()
        assert again.headers["Idempotency-Replayed"] == "true"
        assert first.json()["patient_id"] == "P"
        assert len(events(database, "prediction.served")) == 1
        other = self.post(client, "one", patient="Q")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
        assert self.post(client, "two").json()["cached"]

    def test_a_repeated_problem_is_of_the_request_that_repeats(
        self, client: httpx.Client, worker: AnsweringWorker
    ) -> None:
        worker.say = lambda _job: not_analysed("lateral_view")
        for path, field in (("/predict", "file"), ("/v1/predict/batch", "files")):
            said = []
            for request_id in ("first", "again"):
                headers = {"Idempotency-Key": path, "X-Request-ID": request_id}
                said.append(client.post(path, files={field: png()}, headers=headers))
                document = said[-1].json()
                problem = document["results"][0]["problem"] if "results" in document else document
                assert (problem["code"], problem["request_id"]) == ("not_analysable", request_id)
            assert ["Idempotency-Replayed" in answer.headers for answer in said] == [False, True]

    def test_a_key_is_one_callers(self, client: httpx.Client, database: Database) -> None:
        self.post(client, "one")
        with client_with(key_of(database, "other-ward"), client) as other:
            assert self.post(other, "one", shade=9).status_code == 200

    def test_while_the_first_one_runs(self, client: httpx.Client, worker: AnsweringWorker) -> None:
        asked, answer = threading.Event(), threading.Event()

        def slowly(_job: InferenceJob) -> Analysis:
            asked.set()
            answer.wait(10)
            return positive()

        worker.say = slowly
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.post, client, "one")
            assert asked.wait(5)
            running = self.post(client, "one")
            answer.set()
            assert first.result().status_code == 200
        assert (running.status_code, running.json()["code"]) == (409, "conflict")
        assert self.post(client, "one").json() == first.result().json()

    @pytest.mark.parametrize("key", ["", '""', "two words", "x" * 129])
    def test_a_key_that_is_none(self, client: httpx.Client, key: str) -> None:
        assert self.post(client, key).status_code == 422


def test_waiting_needs_no_thread_and_one_question_for_all(
    client: httpx.Client, worker: AnsweringWorker, database: Database
) -> None:
    """Fifty wait at once, more than a process has threads; each gets the answer to its own image."""
    answer = threading.Event()

    def later(job: InferenceJob) -> Analysis:
        answer.wait(60)
        return positive(0.5 + job.instance_id / 1000)

    worker.say = later
    limits = httpx.Limits(max_connections=50)
    with (
        httpx.Client(base_url=client.base_url, headers=client.headers, timeout=90, limits=limits) as many,
        ThreadPoolExecutor(50) as pool,
    ):
        waiting = [pool.submit(many.post, "/predict", files={"file": png(shade)}) for shade in range(50)]
        deadline = time.monotonic() + 60
        while len(events(database, "upload.received")) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/health/live").status_code == 200
        answer.set()
        answers = [each.result().json() for each in waiting]
    assert len({each["confidence"] for each in answers}) == 50


def test_a_key_whose_request_came_to_no_answer_is_free(start_api: StartAPI, database: Database, spool: Spool) -> None:
    client = start_api(api=settings_of_api(predict_timeout_seconds=0.2))
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"

    def post() -> httpx.Response:
        return client.post("/predict", files={"file": png()}, headers={"Idempotency-Key": "one"})

    assert post().status_code == 503
    with answering(AnsweringWorker(database, spool)) as worker:
        deadline = time.monotonic() + 10
        while not worker.jobs:
            assert time.monotonic() < deadline
        assert post().status_code == 200
