from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest

from api.server import build_server
from audit.api_keys import create_key
from audit.session import Database
from core.scopes import Scope
from core.settings import Settings
from tests.audit.databases import KINDS, emptied, migrated
from tests.services import free_port

StartAPI = Callable[..., httpx.Client]


@pytest.fixture(scope="module", params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with migrated(request.param, tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with emptied(database_url, tmp_path) as database:
        yield database


@contextmanager
def serving(settings: Settings, database: Database) -> Iterator[None]:
    server = build_server(settings, database)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the server ended while it was starting"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def start_api(database: Database, tmp_path: Path) -> Iterator[StartAPI]:
    """Starts the API on loopback, with settings of the test's choice, and gives a client without a key."""
    with ExitStack() as running:

        def start(**changes: object) -> httpx.Client:
            port = free_port()
            values: dict[str, object] = {"listener": {"disk_reserve_bytes": 0}, **changes}
            values["api"] = {"port": port} | cast("dict[str, object]", changes.get("api", {}))
            settings = Settings(home=tmp_path / "home", **values)  # type: ignore[arg-type]
            running.enter_context(serving(settings, database))
            return running.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))

        yield start


@pytest.fixture
def api(start_api: StartAPI, database: Database) -> httpx.Client:
    """A client of the running API, with the valid key ``tester``."""
    with database.write() as session:
        key = create_key(session, "tester", "cli:test", list(Scope))
    client = start_api()
    client.headers["Authorization"] = f"Bearer {key}"
    return client
