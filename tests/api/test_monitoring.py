"""The Prometheus rules and the Grafana dashboard in ``docker/``, asked of a real Prometheus that scrapes the API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import update

from audit.deliveries import claim_deliveries, mark_dead
from audit.drift import monday_of
from audit.events import record_event
from audit.heartbeats import beat
from audit.models import Agreement, Delivery, Feedback, Job, Prediction, now
from audit.session import Database
from core.broker import WorkQueue
from tests.api.conftest import StartAPI
from tests.audit.databases import emptied, migrated
from tests.audit.history import refused, scores, seed
from tests.audit.rows import analysed, book, report
from tests.services import free_port, require_program

_DOCKER = Path(__file__).parents[2] / "docker"
_RULES = _DOCKER / "prometheus" / "pneumo.rules.yml"
_DASHBOARD = json.loads((_DOCKER / "grafana" / "pneumo.json").read_text())
_ALERTS: list[dict[str, Any]] = yaml.safe_load(_RULES.read_text())["groups"][0]["rules"]
_PANELS = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in _DASHBOARD["panels"]}

# These hold when the API is gone, or count what happened while Prometheus looked on.
_NOT_AT_ONCE = {"PneumoNotAnswering", "PneumoStrangers", "PneumoConflict", "PneumoDrift", "PneumoDiskLow"}


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with migrated("postgresql", tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def troubled(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A house where everything that can be seen in the books has gone wrong."""
    with emptied(database_url, tmp_path) as database:
        this_week = monday_of(datetime.now(UTC).date())
        for weeks in (6, 5, 4, 3, 1):
            seed(database, "room-1", this_week - timedelta(weeks=weeks), scores(60, seed=weeks))
        seed(database, "room-2", datetime.now(UTC).date(), refused(30, "lateral_view"))
        analysed(database)
        report(database)
        with database.write() as session:
            mark_dead(session, claim_deliveries(session, 1, 60)[0], "sop_class_not_supported", 0x0122)
            (sent, *_) = claim_deliveries(session, 1, 60)
            session.execute(
                update(Delivery)
                .where(Delivery.id == sent.id)
                .values(state="sent", sent_at=now(), confirm_at=now(), last_error="unconfirmed")
            )
            first = session.query(Prediction.id).order_by(Prediction.id).first()
            assert first is not None
            session.add(
                Feedback(prediction_id=first[0], agreement=Agreement.AGREE, comment="", reader="dr", principal="key")
            )
            beat(session, WorkQueue.INFERENCE, "worker-1")
            record_event(session, "delivery.confirmed")
            record_event(session, "chain.broken")
        analysed(database, _broken())
        analysed(database)
        report(database)
        with database.write() as session:
            session.execute(
                update(Delivery)
                .where(Delivery.state == "pending")
                .values(first_due_at=now() - timedelta(hours=2), attempts=3, last_error="connection_refused")
            )
        book(database)
        with database.write() as session:
            session.execute(update(Job).where(Job.state == "pending").values(created_at=now() - timedelta(hours=1)))
        yield database


def _broken() -> Any:
    from core.records import Analysis, Finding, Outcome

    return Analysis(Outcome.FAILED, reasons=(Finding("pixel_data_missing", "There are no pixels."),))


@pytest.fixture
def prometheus(troubled: Database, start_api: StartAPI, tmp_path: Path) -> Iterator[httpx.Client]:
    """Scrapes the API every half second, with the rules of the repository."""
    unread = {"host": "192.0.2.9"}  # nobody tells it anything
    client, port = start_api(audit={"syslog": unread}, alerts={"undelivered_seconds": 1}), free_port()
    config = yaml.safe_load((_DOCKER / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(_RULES)]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{client.base_url.port}"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            require_program("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as asked:
            _wait_for_scrapes(asked)
            yield asked
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def database(troubled: Database) -> Database:
    return troubled


def _wait_for_scrapes(prometheus: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            result = _query(prometheus, 'count_over_time(pneumo_jobs_pending{job="pneumo"}[1m])')
        except (httpx.TransportError, ValueError):  # it is starting
            result = []
        if result and float(result[0]["value"][1]) >= 3:
            return
        time.sleep(0.2)
    pytest.fail("Prometheus has not scraped the API in time")


def _query(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def test_every_query_finds_something(prometheus: httpx.Client) -> None:
    empty = {title for title, queries in _PANELS.items() for query in queries if not _query(prometheus, query)}
    assert empty == set()
    held = {alert["alert"] for alert in _ALERTS if _query(prometheus, alert["expr"])}
    assert held == {alert["alert"] for alert in _ALERTS} - _NOT_AT_ONCE
    firing = {alert["labels"]["alertname"] for alert in prometheus.get("/api/v1/alerts").json()["data"]["alerts"]}
    assert held <= firing | {alert["alert"] for alert in _ALERTS if "for" in alert}
    figures = {row["metric"]["source"]: float(row["value"][1]) for row in _query(prometheus, "pneumo_drift_psi")}
    assert figures.keys() == {"room-1"}


def test_the_first_stranger_and_the_first_conflict_are_told(prometheus: httpx.Client, troubled: Database) -> None:
    """No series may begin with the event that is looked for: from nothing to 1 is no increase."""
    first = {"PneumoStrangers", "PneumoConflict"}
    assert not _firing(prometheus) & first
    with troubled.write() as session:
        record_event(session, "association.refused")
        record_event(session, "instance.conflict")
    deadline = time.monotonic() + 30
    while not first <= _firing(prometheus):
        assert time.monotonic() < deadline, _firing(prometheus)
        time.sleep(0.2)


def _firing(prometheus: httpx.Client) -> set[str]:
    alerts = prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def test_the_rules_are_well_formed() -> None:
    command = [require_program("promtool"), "check", "rules", _RULES]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for alert in _ALERTS:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"].endswith(".")


def test_each_kind_of_alert_has_a_rule() -> None:
    from audit.alerts import AlertCode

    rules = _RULES.read_text()
    assert [code for code in AlertCode if f'pneumo_alert{{code="{code}"}}' not in rules] == []
