"""Migrated, empty databases for tests: SQLite always, PostgreSQL where a server answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, event, text

from audit.chain import GENESIS, HEAD
from audit.models import Base, ChainHead
from audit.schema import upgrade
from audit.session import Database
from tests.databases import temporary_postgresql

KINDS = ("sqlite", "postgresql")


@contextmanager
def migrated(kind: str, folder: Path) -> Iterator[str]:
    """URL of a new database at the newest schema."""
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'migrated.db'}"
        _migrate(url)
        yield url
        return
    with temporary_postgresql() as url:
        _migrate(url)
        yield url


@contextmanager
def emptied(migrated_url: str, folder: Path) -> Iterator[Database]:
    """The migrated database without a row in it: a copy of the file, or the server's tables truncated."""
    if migrated_url.startswith("sqlite"):
        copy = folder / "pneumo.db"
        shutil.copyfile(migrated_url.removeprefix("sqlite:///"), copy)
        database = Database(f"sqlite:///{copy}")
    else:
        database = Database(migrated_url)
        tables = ", ".join(Base.metadata.tables)
        with database.write() as session:
            session.execute(text("SET LOCAL session_replication_role = replica"))  # audit events refuse to be emptied
            session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
            session.add(ChainHead(id=HEAD, hash=GENESIS))
    try:
        yield database
    finally:
        database.close()


@contextmanager
def counted_statements(engine: Engine) -> Iterator[list[str]]:
    """The SELECTs and the like that run inside the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _migrate(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()
