"""Wake-ups over each transport, consumed by a real Celery worker in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from core.broker import Waker, WorkQueue, celery_app, probe_broker, send_wake_up
from core.settings import Settings
from tests.services import free_port, require_rabbitmq, require_redis


@pytest.fixture(params=["embedded", "redis", "rabbitmq"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = {"embedded": lambda: "", "redis": require_redis, "rabbitmq": require_rabbitmq}[request.param]()
    return Settings(home=tmp_path, broker_url=url)


def test_a_wake_up_arrives_and_is_nothing_but_an_id(settings: Settings) -> None:
    app = celery_app(settings)
    probe_broker(app)
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[WorkQueue.DELIVERY](connection.default_channel)
        queue.declare()
        queue.purge()
        send_wake_up(app, WorkQueue.DELIVERY, 42)
        message = _get(queue)
        assert message.headers["task"] == "pneumo.delivery"
        assert message.decode()[:2] == [[42], {}]
        assert message.content_type == "application/json"
        message.ack()


def _get(queue: object) -> object:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if (message := queue.get()) is not None:  # type: ignore[attr-defined]
            return message
        time.sleep(0.05)
    raise AssertionError("no message came within 5 s")


def test_a_broker_that_is_down_is_told_soon_and_stops_nobody(tmp_path: Path) -> None:
    app = celery_app(Settings(home=tmp_path, broker_url=f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(OperationalError):
        probe_broker(app)
    started = time.monotonic()
    waker = Waker(app)
    for row_id in range(100):
        waker.wake(WorkQueue.INFERENCE, row_id)
    assert time.monotonic() - started < 0.5, "wake() waited for the broker"
    waker.close()
