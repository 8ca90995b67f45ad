"""Opens the database: PostgreSQL in production, SQLite where there is no server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm import Session

from audit.chain import append_held_events

DATABASE_AWAY = (OperationalError, InterfaceError, NoConnectionFree)
"""What a session raises where the database does not answer, or not now; the same may work a moment later."""
_WRITING = "pneumo_writing"


class Database:
    """One engine of a process. Sessions are short: claim, commit, work, then write the end."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Errors of SQLAlchemy print bound parameters: patients, in our case.
        self.engine: Engine = create_engine(
            url, hide_parameters=True, pool_pre_ping=not self.is_sqlite, connect_args=self._connect_arguments()
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end of the block, rolled back on an exception."""
        engine = self.engine.execution_options(**{_WRITING: True})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
            append_held_events(session)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """As ``read``, and every statement sees the same moment, which SQLite grants anyway."""
        engine = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()

    def _connect_arguments(self) -> dict[str, Any]:
        return {"timeout": 30} if self.is_sqlite else {"connect_timeout": 5}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would otherwise begin transactions behind our back
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # In WAL mode a transaction that reads first and writes later fails at once with "database is locked"; the busy
    # timeout is honoured only where the lock is asked for at the start.
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
