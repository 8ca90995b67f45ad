"""``/health``: is this process up, can it predict, can the service do all its work? None needs a key or tells why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.examples import json_example
from api.recent import Recent
from audit.figures import heartbeat_ages
from audit.schema import current_revision, newest_revision
from audit.session import Database
from core.broker import WorkQueue, celery_app, probe_broker
from core.logs import get_logger
from core.settings import Settings
from core.spool import Spool

log = get_logger("api")

HEARTBEAT_SECONDS = 90  # a worker's heart beats every 30 s; two beats may be missed
_FRESH_SECONDS = 2


class State(StrEnum):
    OK = "ok"
    FAILING = "failing"


class Liveness(BaseModel):
    status: State


class Readiness(BaseModel):
    status: State
    components: dict[str, State]


class Health(BaseModel):
    """As the prediction service's clients know it."""

    status: Literal["healthy", "unhealthy"]
    api_version: str
    model_loaded: bool


_FOR_PREDICTIONS = ("database", "schema", "spool", "model")
"""Without the broker answers come later, by the sweeper; without the delivery worker as ever."""


class NotReady(Exception):
    """A component answers, and what it answers is not good enough."""


def health_router(settings: Settings, database: Database) -> APIRouter:
    router = APIRouter(prefix="/health", tags=["operation"])
    checks = _checks(settings, database)
    readiness = Recent(lambda: _readiness(checks), _FRESH_SECONDS)

    @router.get("/live", summary="Is this process up?", responses={200: json_example(Liveness(status=State.OK))})
    def live() -> Liveness:
        return Liveness(status=State.OK)

    release = version("pneumo")
    healthy = Health(status="healthy", api_version=release, model_loaded=True)
    unhealthy = Health(status="unhealthy", api_version=release, model_loaded=False)

    @router.get(
        "",
        summary="Can images be predicted?",
        responses={
            200: json_example(healthy),
            503: {
                "model": Health,
                "description": "No model answers, or images cannot be kept.",
                **json_example(unhealthy),
            },
        },
    )
    def health(response: Response) -> Health:
        states = readiness.get().components
        loaded = states["model"] is State.OK
        if all(states[name] is State.OK for name in _FOR_PREDICTIONS):
            return healthy
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return unhealthy.model_copy(update={"model_loaded": loaded})

    good = Readiness(status=State.OK, components=dict.fromkeys(checks, State.OK))
    bad = Readiness(status=State.FAILING, components=good.components | {"broker": State.FAILING})

    @router.get(
        "/ready",
        summary="Can images be received, analysed and delivered?",
        responses={
            200: json_example(good),
            503: {"model": Readiness, "description": "Something is failing; the log says what.", **json_example(bad)},
        },
    )
    def ready(response: Response) -> Readiness:
        answer = readiness.get()
        if answer.status is State.FAILING:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return answer

    return router


def _readiness(checks: Mapping[str, Callable[[], None]]) -> Readiness:
    components = {name: _state(name, check) for name, check in checks.items()}
    healthy = all(state is State.OK for state in components.values())
    return Readiness(status=State.OK if healthy else State.FAILING, components=components)


def _state(name: str, check: Callable[[], None]) -> State:
    try:
        check()
    except Exception as exc:  # noqa: BLE001 - whatever a component fails with, the others are still to be asked
        log.warning("not_ready", component=name, cause=str(exc) if isinstance(exc, NotReady) else type(exc).__name__)
        return State.FAILING
    return State.OK


def _checks(settings: Settings, database: Database) -> dict[str, Callable[[], None]]:
    """Each raises when its component cannot do its part."""
    broker = celery_app(settings)
    return {
        "database": lambda: _database_answers(database),
        "schema": lambda: _schema_is_newest(database),
        "broker": lambda: probe_broker(broker),
        "spool": lambda: _spool_takes_files(settings),
        "model": lambda: _worker_is_awake(database, WorkQueue.INFERENCE),
        "delivery": lambda: _worker_is_awake(database, WorkQueue.DELIVERY),
    }


def _database_answers(database: Database) -> None:
    current_revision(database)  # any small question will do


def _schema_is_newest(database: Database) -> None:
    found, expected = current_revision(database), newest_revision()
    if found != expected:
        raise NotReady(f"the database is at revision {found}, this version needs {expected}: run `pneumo migrate`")


def _spool_takes_files(settings: Settings) -> None:
    spool = Spool(settings.spool)
    spool.probe()
    free, reserve = spool.free_bytes(), settings.listener.disk_reserve_bytes
    if free is not None and free < reserve:
        raise NotReady(f"{free} bytes are free, the listener refuses images below {reserve}")


def _worker_is_awake(database: Database, queue: WorkQueue) -> None:
    with database.read() as session:
        age = heartbeat_ages(session).get(queue)
    if age is None:
        raise NotReady("no worker has ever served this queue")
    if age > HEARTBEAT_SECONDS:
        raise NotReady(f"no worker has served this queue for {age:.0f} s")
