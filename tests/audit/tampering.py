"""What somebody with the database's password can do: change rows behind the triggers."""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from audit.anchors import Anchor, anchor_of_now
from audit.chain import digest
from audit.models import AuditEvent
from audit.session import Database
from audit.verification import Findings, Verification


@contextmanager
def behind_the_triggers(database: Database) -> Iterator[Connection]:
    with database.engine.begin() as connection:
        triggers = _disarmed(connection, database)
        yield connection
        for statement in triggers:
            connection.exec_driver_sql(statement)


def _disarmed(connection: Connection, database: Database) -> list[str]:
    """For this transaction nothing refuses anything; returns what arms it again."""
    if not database.is_sqlite:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        return []
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    return [statement for _, statement in triggers]


class _WithinTransaction(Database):
    """What others would see if this connection committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self._connection, join_transaction_mode="rollback_only") as session:
            yield session

    snapshot = read


def verify_after(database: Database, *statements: str) -> Findings:
    """As if somebody had changed rows like this; nothing of it lasts."""
    with database.engine.connect() as connection:
        _disarmed(connection, database)
        for statement in statements:
            assert connection.execute(text(statement)).rowcount, statement
        return verify(_WithinTransaction(connection))


def tamper(database: Database, *statements: str, **values: object) -> None:
    with behind_the_triggers(database) as connection:
        for statement in statements:
            connection.execute(text(statement), values)


@contextmanager
def tampered(database: Database, table: str, row_id: int, change: str) -> Iterator[None]:
    """For the block, one row has another value in one column: ``change`` is ``column = value``."""
    column = change.split(" = ", maxsplit=1)[0]
    tamper(
        database,
        f"CREATE TABLE kept AS SELECT {column} AS value FROM {table} WHERE id = {row_id}",
        f"UPDATE {table} SET {change} WHERE id = {row_id}",
    )
    try:
        yield
    finally:
        tamper(
            database, f"UPDATE {table} SET {column} = (SELECT value FROM kept) WHERE id = {row_id}", "DROP TABLE kept"
        )  # fmt: skip


def rewritten_hash(database: Database, event_id: int, **changes: object) -> str:
    """The hash that the event would have with other contents: a forger computes it, too."""
    with database.read() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.id == event_id)).one()
        for name, value in changes.items():
            setattr(event, name, value)
        with session.no_autoflush:
            return digest(event)


def anchor(database: Database) -> Anchor:
    with database.read() as session:
        return anchor_of_now(session)


def verify(database: Database, *anchors: Anchor) -> Findings:
    walk = Verification(database, anchors)
    while walk.step():
        pass
    return walk.findings()
