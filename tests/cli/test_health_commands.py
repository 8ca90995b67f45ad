"""``pneumo alive`` asked as a container's health check asks it, of a migrated database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from audit.heartbeats import beat
from audit.models import Heartbeat, now
from audit.schema import upgrade
from audit.session import Database
from cli.health_commands import alive
from core.broker import WorkQueue

app = typer.Typer()
app.command()(alive)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'pneumo.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_DATABASE_URL", url)
    database = Database(url)
    upgrade(database)
    yield database
    database.close()


def ask(queue: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, [queue])
    return answer.exit_code, answer.output


def test_a_worker_that_has_just_taken_a_message_is_alive(database: Database) -> None:
    with database.write() as session:
        beat(session, WorkQueue.DELIVERY, socket.gethostname())
    code, said = ask("delivery")
    assert code == 0
    assert "took a message off its queue" in said


def test_neither_another_host_nor_another_queue_counts(database: Database) -> None:
    with database.write() as session:
        beat(session, WorkQueue.DELIVERY, "some-other-host")
        beat(session, WorkQueue.INFERENCE, socket.gethostname())
    code, said = ask("delivery")
    assert code == 1
    assert "has never taken a message" in said


def test_three_minutes_of_silence_are_too_long(database: Database) -> None:
    with database.write() as session:
        session.add(Heartbeat(queue="inference", worker=socket.gethostname(), at=now() - timedelta(seconds=200)))
    code, said = ask("inference")
    assert code == 1
    assert "took a message off its queue 2" in said


def test_a_database_that_cannot_be_asked_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMO_DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    code, said = ask("inference")
    assert code == 1
    assert "the database cannot be asked" in said
