"""Which model answers, as those who have no model learn of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from audit.heartbeats import beat, model_in_charge
from audit.inference_jobs import register_model
from audit.model_versions import activate
from audit.models import Heartbeat, now
from audit.session import Database
from core.records import ModelInCharge
from tests.audit.rows import DEVICE_UID, MODEL

OLD = ModelInCharge(
    device_uid=DEVICE_UID,
    device_uid_with_tta="2.25.12",
    name=MODEL.name,
    version=MODEL.version,
    label=MODEL.label,
    image_size=224,
    num_parameters=2_225_153,
    device="cpu",
    accuracy=0.97,
)
NEW = replace(OLD, device_uid="2.25.21", device_uid_with_tta="2.25.22", version="2.0.0", accuracy=None)


@pytest.fixture
def both(database: Database) -> Database:
    """Two workers, of which the one heard of last has not taken up the active model."""
    with database.write() as session:
        register_model(session, MODEL, OLD.device_uid)
        activate(session, register_model(session, replace(MODEL, version="2.0.0"), NEW.device_uid), "cli:test")
        beat(session, "inference", "quick", NEW)
    with database.write() as session:
        beat(session, "inference", "slow", OLD)
        beat(session, "delivery", "quick")
    return database


def test_nobody_alive_means_no_model(database: Database) -> None:
    with database.write() as session:
        assert model_in_charge(session) is None
        beat(session, "inference", "a", OLD)
    with database.write() as session:
        assert model_in_charge(session) == OLD
        session.execute(update(Heartbeat).values(at=now() - timedelta(seconds=91)))
    with database.read() as session:
        assert model_in_charge(session) is None
        assert model_in_charge(session, within_seconds=100) == OLD


def test_of_two_workers_the_one_that_follows_the_activation_counts(both: Database) -> None:
    with both.read() as session:
        assert model_in_charge(session) == NEW


def test_pinned_workers_follow_nothing(both: Database) -> None:
    with both.write() as session:
        session.execute(update(Heartbeat).where(Heartbeat.worker == "quick").values(at=now() - timedelta(days=1)))
    with both.read() as session:
        assert model_in_charge(session) == OLD


def test_a_beat_replaces_what_was_told_before(database: Database) -> None:
    for about in (OLD, NEW):
        with database.write() as session:
            beat(session, "inference", "a", about)
    with database.read() as session:
        assert model_in_charge(session) == NEW
