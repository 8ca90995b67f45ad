"""``/v1/figures/today``: the day at a glance."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.health import HEARTBEAT_SECONDS
from api.security import Reader
from api.state import DatabaseOfApp
from api.watch import WatchOfApp
from audit.today import Today, read_today
from core.broker import WorkQueue
from core.records import DeliveryState, Outcome

router = APIRouter(prefix="/v1/figures", tags=["operation"])


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class HourFigures(_Document):
    begins: datetime
    received: int
    outcomes: dict[Outcome, int]
    waiting: int


class DestinationFigures(_Document):
    name: str
    states: dict[DeliveryState, int] = Field(description="Of the results of studies that received an image today.")
    pending: int = Field(description="Of whatever day.")
    dead: int = Field(description="Of whatever day.")


class WorkerFigures(_Document):
    queue: str
    heartbeat_age_seconds: float | None = Field(description="Null where no worker ever served the queue.")
    alive: bool


class TodayFigures(_Document):
    since: datetime = Field(description="Midnight where the service runs.")
    at: datetime
    received: int
    outcomes: dict[Outcome, int]
    waiting: int = Field(description="Images without an outcome, of whatever day.")
    hours: list[HourFigures] = Field(description="By the hour the images came in; an hour without any is absent.")
    latency_median_seconds: float | None = Field(description="From the arrival of an image to its outcome.")
    latency_p95_seconds: float | None
    destinations: list[DestinationFigures]
    alerts_open: int
    alerts_unacknowledged: int
    workers: list[WorkerFigures]

    @property
    def analysed(self) -> int:
        """That the model judged."""
        return self.outcomes.get(Outcome.POSITIVE, 0) + self.outcomes.get(Outcome.NEGATIVE, 0)

    @classmethod
    def of(cls, today: Today) -> TodayFigures:
        return cls(
            since=today.since,
            at=today.at,
            received=today.received,
            outcomes=dict(today.outcomes),
            waiting=today.waiting,
            hours=[
                HourFigures(
                    begins=today.since.astimezone(UTC) + timedelta(hours=hour.number),
                    received=hour.received,
                    outcomes=hour.outcomes,
                    waiting=hour.waiting,
                )
                for hour in today.hours
            ],
            latency_median_seconds=today.latency_median,
            latency_p95_seconds=today.latency_p95,
            destinations=[DestinationFigures.model_validate(each) for each in today.destinations],
            alerts_open=today.alerts_open,
            alerts_unacknowledged=today.alerts_unacknowledged,
            workers=[_worker(queue, today.heartbeats.get(queue)) for queue in WorkQueue],
        )


def _worker(queue: str, age: float | None) -> WorkerFigures:
    alive = age is not None and age <= HEARTBEAT_SECONDS
    return WorkerFigures(queue=queue, heartbeat_age_seconds=age, alive=alive)


def midnight() -> datetime:
    """When today began where the service runs (TZ)."""
    return datetime.combine(datetime.now().astimezone().date(), time()).astimezone()


_EXAMPLE = TodayFigures(
    since=datetime(2026, 3, 2, tzinfo=UTC),
    at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    received=42,
    outcomes={Outcome.POSITIVE: 9, Outcome.NEGATIVE: 28, Outcome.NOT_ANALYSED: 4},
    waiting=1,
    hours=[
        HourFigures(
            begins=datetime(2026, 3, 2, 8, tzinfo=UTC),
            received=42,
            outcomes={Outcome.POSITIVE: 9, Outcome.NEGATIVE: 28, Outcome.NOT_ANALYSED: 4},
            waiting=1,
        )
    ],
    latency_median_seconds=1.4,
    latency_p95_seconds=3.2,
    destinations=[DestinationFigures(name="main-pacs", states={DeliveryState.CONFIRMED: 78}, pending=2, dead=0)],
    alerts_open=1,
    alerts_unacknowledged=1,
    workers=[WorkerFigures(queue="inference", heartbeat_age_seconds=4.1, alive=True)],
)


@router.get(
    "/today",
    summary="Today at a glance",
    responses=examples.answers(_EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
)
def show_today(database: DatabaseOfApp, watch: WatchOfApp, _caller: Reader) -> TodayFigures:
    """Counts and ages; nothing of a patient, so that reading it is no event. Alerts are looked for as you ask."""
    watch.settle()
    with database.read() as session:
        return TodayFigures.of(read_today(session, midnight()))
