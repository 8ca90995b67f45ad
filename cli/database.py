"""Opens the audit database for commands that ask it something or change a row."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.errors import ConfigurationError
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.session import Database


@contextmanager
def open_database() -> Iterator[Database]:
    """The configured database, at the newest schema.

    Raises:
        ConfigurationError: its schema is another one.
    """
    from audit.schema import current_revision, newest_revision
    from audit.session import Database

    database = Database(load_settings().database)
    try:
        found, expected = current_revision(database), newest_revision()
        if found != expected:
            raise ConfigurationError(
                f"the database schema is {found or 'empty'} and should be {expected}: run `pneumo migrate`"
            )
        yield database
    finally:
        database.close()


def operator() -> str:
    """Who is at the command line, for the audit trail: ``cli:`` and the name of the account."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # containers run under numbers without a name
        name = str(os.getuid())
    return f"cli:{name}"[:64]
