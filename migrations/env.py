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


run()
