from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.session import Database
from tests.audit.databases import KINDS, emptied, migrated


@pytest.fixture(scope="module", params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with migrated(request.param, tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """Empty and at the newest schema; each test runs on SQLite and on PostgreSQL."""
    with emptied(database_url, tmp_path) as database:
        yield database
