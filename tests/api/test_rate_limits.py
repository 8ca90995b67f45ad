"""How many images a client may have predicted, counted over all processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from api.rate_limits import RateLimits
from audit.schema import upgrade
from audit.session import Database
from core.scopes import Scope
from core.settings import Settings
from tests.api.answering_worker import png
from tests.api.conftest import StartAPI
from tests.api.prediction_clients import client_with, key_of, settings_of_api
from tests.audit.databases import migrated
from tests.services import free_port, require_redis


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One kind is enough: what differs between them is not what is tested here."""
    with migrated("sqlite", tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def redis_url() -> Iterator[str]:
    url = require_redis()
    store = redis.Redis.from_url(url)

    def clear() -> None:
        for key in store.scan_iter("pneumo-limits*"):
            store.delete(key)

    clear()
    yield url
    clear()
    store.close()


def settings(folder: Path, rate: str = "3/minute", **changes: object) -> Settings:
    return Settings(home=folder, api={"predict_rate": rate}, **changes)  # type: ignore[arg-type]


def test_a_moving_window(tmp_path: Path) -> None:
    rates = RateLimits(settings(tmp_path, "2/second"))
    assert [rates.take("one", 1).granted for _ in range(3)] == [1, 1, 0]
    assert rates.take("two", 1).granted == 1, "another client counts for itself"
    time.sleep(1.1)
    assert rates.take("one", 5).granted == 2, "as many as there is room for"


def test_what_the_headers_say(start_api: StartAPI, database: Database) -> None:
    client = start_api(api=settings_of_api(predict_rate="2/minute"))
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    answers = [client.post("/predict", files={"file": b"no image"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert [answer.headers["RateLimit-Policy"] for answer in answers] == ['"predict";q=2;w=60'] * 3
    left = [re.fullmatch(r'"predict";r=(\d+);t=(\d+)', answer.headers["RateLimit"]) for answer in answers]
    assert [match and match[1] for match in left] == ["1", "0", "0"]
    assert answers[2].json()["code"] == "too_many_requests"
    assert 50 < int(answers[2].headers["Retry-After"]) <= 61
    with client_with(key_of(database, "other-ward"), client) as other:
        assert other.post("/predict", files={"file": b"no image"}).status_code == 422


def test_strangers_are_counted_by_their_address(start_api: StartAPI) -> None:
    client = start_api(api=settings_of_api(predict_rate="1/minute", anonymous_scopes=[Scope.PREDICT]))
    assert [client.post("/predict", files={"file": b"no image"}).status_code for _ in range(2)] == [422, 429]


def test_each_file_of_a_batch_counts(start_api: StartAPI, database: Database) -> None:
    client = start_api(api=settings_of_api(predict_rate="3/minute", predict_timeout_seconds=0.01))
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    answer = client.post("/v1/predict/batch", files=[("files", png(shade)) for shade in range(4)])
    assert answer.status_code == 207
    codes = [item["problem"]["code"] for item in answer.json()["results"]]
    assert codes == ["model_busy"] * 3 + ["too_many_requests"]
    assert client.post("/v1/predict/batch", files=[("files", png())]).status_code == 429


@contextmanager
def api_processes(number: int, folder: Path, redis_url: str) -> Iterator[list[str]]:
    """As many `pneumo serve`; yields their addresses."""
    processes, addresses = [], []
    try:
        for port in [free_port() for _ in range(number)]:
            environment = os.environ | {
                "PNEUMO_HOME": str(folder),
                "PNEUMO_API__PORT": str(port),
                "PNEUMO_API__PREDICT_RATE": "5/minute",
                "PNEUMO_API__RATE_LIMIT_URL": redis_url,
            }
            processes.append(subprocess.Popen([sys.executable, "-m", "cli.main", "serve"], env=environment))
            addresses.append(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 120
        while not all(is_alive(address) for address in addresses):
            assert all(process.poll() is None for process in processes), "a process ended while it was starting"
            assert time.monotonic() < deadline, "a process did not start"
            time.sleep(0.2)
        yield addresses
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(20)


def is_alive(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live").is_success
    except httpx.TransportError:
        return False


def test_two_processes_count_together(tmp_path: Path, redis_url: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pneumo.db'}")
    upgrade(database)
    headers = {"Authorization": f"Bearer {key_of(database, 'ward')}"}
    database.close()
    with api_processes(2, tmp_path, redis_url) as (one, two):
        statuses = [
            httpx.post(f"{address}/predict", files={"file": b"no image"}, headers=headers).status_code
            for address in (one, two, one, two, one, two, one)
        ]
    assert statuses == [422] * 5 + [429] * 2


def test_while_redis_is_away_each_process_counts_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rates = RateLimits(settings(tmp_path, broker_url="redis://127.0.0.1:1/0"))
    began = time.perf_counter()
    assert [rates.take("one", 1).granted for _ in range(4)] == [1, 1, 1, 0]
    assert time.perf_counter() - began < 2, "it is not asked each time"
    said = capsys.readouterr().out + caplog.text  # the latter once any test has set logs up
    assert said.count("rate_limit_counts_alone") == 1


def test_the_broker_counts_where_it_is_a_redis(tmp_path: Path, redis_url: str) -> None:
    one, two = (RateLimits(settings(tmp_path, broker_url=redis_url)) for _ in range(2))
    assert [rates.take("same", 2).granted for rates in (one, two, one)] == [2, 1, 0]
