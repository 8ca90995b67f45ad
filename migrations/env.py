"""Alembic's entry point, for ``pneumo migrate`` and for ``alembic`` itself (``alembic.ini`` at the root)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from audit.models import Base
from audit.session import Database
from core.settings import load_settings

# Two services that start together must not migrate together.
_ADVISORY_LOCK = 7_385_663


def run() -> None:
    connection = context.config.attributes.get("connection")
    if isinstance(connection, Connection):
        _migrate(connection)
        return
    database = Database(load_settings().database)
    with database.engine.connect() as connection:
        _migrate(connection)
        connection.commit()
    database.close()


def _migrate(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        _suspend_foreign_keys(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        context.run_migrations()
        if is_sqlite and (broken := connection.execute(text("PRAGMA foreign_key_check")).all()):
            raise RuntimeError(f"the migration would leave rows without their parents: {broken[:3]}")


def _suspend_foreign_keys(connection: Connection) -> None:
    """To change a CHECK, SQLite copies the table and drops the old one, which rows of other tables refer to."""
    connection.detach()  # nobody else gets a connection without foreign keys
    dbapi_connection = connection.connection.dbapi_connection
    assert dbapi_connection is not None  # noqa: S101 - it is open
    dbapi_connection.cursor().execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction


run()
