from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect

from audit import schema
from audit.models import Base
from audit.session import Database
from tests.audit.databases import KINDS
from tests.databases import temporary_postgresql


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        with temporary_postgresql() as url:
            yield url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url)
    yield database
    database.close()


def test_the_migrations_make_what_the_models_say(empty: Database) -> None:
    assert schema.current_revision(empty) is None
    schema.upgrade(empty)
    assert schema.current_revision(empty) == schema.newest_revision()
    assert schema.drift(empty) == []
    schema.upgrade(empty)  # again: nothing to do


def test_every_migration_can_be_taken_back(empty: Database) -> None:
    schema.upgrade(empty)
    config = schema._config()
    with empty.engine.execution_options(pneumo_writing=True).connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert set(inspect(empty.engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade(empty)
    assert set(Base.metadata.tables) < set(inspect(empty.engine).get_table_names())


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    program = (
        "import sys; from audit import schema; from audit.session import Database;"
        "database = Database(sys.argv[1]); schema.upgrade(database); database.close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
