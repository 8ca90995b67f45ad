from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from audit.heartbeats import beat
from audit.models import Heartbeat, now
from audit.schema import newest_revision
from audit.session import Database
from core.broker import WorkQueue
from tests.api.conftest import StartAPI
from tests.audit.rows import analysed, book, not_analysed, received, report

_COMPONENTS = ["database", "schema", "broker", "spool", "model", "delivery"]


def _workers_are_awake(database: Database, queues: Sequence[WorkQueue] = tuple(WorkQueue)) -> None:
    with database.write() as session:
        for queue in queues:
            beat(session, queue, "worker-1")


def _failing(answer: httpx.Response) -> list[str]:
    document = answer.json()
    failing = [name for name, state in document["components"].items() if state == "failing"]
    assert list(document["components"]) == _COMPONENTS
    assert answer.status_code == (503 if failing else 200)
    assert document["status"] == ("failing" if failing else "ok")
    return failing


def test_alive(start_api: StartAPI) -> None:
    assert start_api().get("/health/live").json() == {"status": "ok"}


def test_ready_when_everything_answers(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database)
    assert _failing(start_api().get("/health/ready")) == []


def test_not_ready_without_workers(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database, [WorkQueue.DELIVERY])
    assert _failing(start_api().get("/health/ready")) == ["model"]


def test_not_ready_when_workers_stopped_taking_messages(start_api: StartAPI, database: Database) -> None:
    with database.write() as session:
        for queue in WorkQueue:
            session.add(Heartbeat(queue=queue, worker="a", at=now() - timedelta(seconds=100)))
    assert _failing(start_api().get("/health/ready")) == ["model", "delivery"]


def test_not_ready_without_broker(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database)
    client = start_api(broker_url="redis://127.0.0.1:1/0")
    assert _failing(client.get("/health/ready")) == ["broker"]


def test_not_ready_when_the_listener_would_refuse_for_space(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database)
    client = start_api(listener={"disk_reserve_bytes": 10**18})
    assert _failing(client.get("/health/ready")) == ["spool"]


def test_not_ready_when_the_spool_is_gone(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database)
    client = start_api(spool_url="file:///proc/no-such-place")
    assert _failing(client.get("/health/ready")) == ["spool"]


def test_not_ready_at_another_schema(start_api: StartAPI, database: Database) -> None:
    _workers_are_awake(database)
    client = start_api()
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'before'"))
    try:
        assert _failing(client.get("/health/ready")) == ["schema"]
    finally:
        with database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest_revision()})


def test_a_flood_costs_one_look(start_api: StartAPI, database: Database) -> None:
    client = start_api()
    assert _failing(client.get("/health/ready")) == ["model", "delivery"]
    _workers_are_awake(database)
    assert _failing(client.get("/health/ready")) == ["model", "delivery"], "for two seconds the answer is kept"


def test_metrics_are_read_from_the_books(start_api: StartAPI, database: Database) -> None:
    analysed(database, instances=[received(patient_id="SECRET"), received(source="room-2")])
    analysed(database, not_analysed("lateral_view"))
    report(database)
    book(database)
    _workers_are_awake(database)
    answer = start_api().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    model = ("model=mobilenet_v2", "outcome=positive", "source=room-2", "version=1.0.0")
    assert samples["pneumo_predictions_total", *model] == 1
    assert samples["pneumo_image_latency_seconds", "quantile=0.95"] < 60
    assert samples["pneumo_instances_received_total", "source=room-1"] == 3
    assert samples["pneumo_deliveries", "destination=pacs", "state=pending"] == 6
    assert samples["pneumo_events_total", "kind=instance.received"] == 4
    assert samples["pneumo_jobs_pending",] == 1
    assert samples["pneumo_studies_waiting",] == 1
    assert samples["pneumo_oldest_unanalysed_age_seconds",] < 60
    assert samples["pneumo_oldest_undelivered_age_seconds", "destination=pacs"] < 60
    assert samples["pneumo_worker_heartbeat_age_seconds", "queue=inference"] < 60
    assert "SECRET" not in answer.text
    assert "1.2.826" not in answer.text


def test_each_answer_has_an_example_and_the_schema_it_keeps(start_api: StartAPI) -> None:
    document = start_api().get("/openapi.json").json()
    answers = [
        (path, method, status, kind, content)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        for kind, content in answer.get("content", {}).items()
    ]
    assert len(answers) > 100
    assert [where for *where, content in answers if not content.get("schema")] == []
    documents = ("application/json", "application/problem+json")
    without = [where for *where, content in answers if where[-1] in documents and "example" not in content]
    assert without == []
    page = document["paths"]["/v1/predictions"]["get"]["responses"]["200"]["content"]["application/json"]
    assert page["schema"] == {"$ref": "#/components/schemas/PredictionPage"}
    assert page["example"]["items"][0]["outcome"] == "positive"


def test_the_cursor_of_the_example_is_one_the_service_takes(api: httpx.Client) -> None:
    cursor = api.get("/openapi.json").json()["paths"]["/v1/predictions"]["get"]["responses"]["200"]["content"][
        "application/json"
    ]["example"]["next"]
    assert api.get("/v1/predictions", params={"cursor": cursor}).status_code == 200
