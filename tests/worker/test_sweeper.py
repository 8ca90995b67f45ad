"""Lost messages are sent again, over a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.broker import WorkQueue, celery_app
from core.settings import Settings
from tests.worker.rooms import Rooms, rooms
from worker.sweeper import Sweeper


def waiting(settings: Settings) -> int:
    """Messages on the embedded broker's inference queue."""
    return len(list((settings.home / "broker" / "messages").glob("*inference*")))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path, message_life_seconds=0.001) as made:
        yield made


def test_a_due_job_without_a_message_gets_one(house: Rooms) -> None:
    app = celery_app(house.settings)
    for number in range(5):
        house.book(b"x", sop_instance_uid=f"1.2.3.{number}")
    sweeper = Sweeper(app, house.database, house.settings, WorkQueue.DELIVERY)
    assert waiting(house.settings) == 0
    sweeper.sweep()
    assert waiting(house.settings) == 1, "one wake-up is enough for all that is due"


def test_nothing_due_wakes_nobody(house: Rooms) -> None:
    app = celery_app(house.settings)
    Sweeper(app, house.database, house.settings, WorkQueue.DELIVERY).sweep()
    assert waiting(house.settings) == 0
