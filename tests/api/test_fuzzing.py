"""schemathesis over the OpenAPI document: whatever is sent, the answer is one that the document knows, and no 5xx."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audit.alerts import AlertCode, Condition, settle_alerts
from audit.api_keys import create_key
from audit.heartbeats import beat
from audit.session import Database
from core.broker import WorkQueue
from core.records import ModelInCharge
from core.scopes import Scope
from tests.api.conftest import StartAPI
from tests.audit.databases import emptied, migrated
from tests.audit.rows import DEVICE_UID, MODEL, analysed, book, not_analysed, report

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
_IN_CHARGE = ModelInCharge(
    device_uid=DEVICE_UID,
    device_uid_with_tta=f"{DEVICE_UID}.1",
    name=MODEL.name,
    version=MODEL.version,
    label=MODEL.label,
    image_size=224,
    num_parameters=1,
    device="cpu",
    accuracy=None,
)


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with migrated("postgresql", tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """With something of everything in it, and workers that are awake."""
    with emptied(database_url, tmp_path) as database:
        analysed(database)
        analysed(database, not_analysed("lateral_view"))
        report(database)
        book(database)
        with database.write() as session:
            beat(session, WorkQueue.INFERENCE, "worker-1", _IN_CHARGE)
            beat(session, WorkQueue.DELIVERY, "worker-1")
            settle_alerts(session, [Condition(AlertCode.PACS_DOWN, "pacs", "4 results could not be sent.")])
        yield database


@pytest.fixture
def client(start_api: StartAPI) -> httpx.Client:
    port_and_more = {"predict_timeout_seconds": 0.05, "predict_rate": "1000/second"}
    return start_api(api=port_and_more)


def _fuzz(client: httpx.Client, folder: Path, phases: str, configuration: str = "") -> str:
    """What schemathesis prints; fails the test where it found something."""
    (folder / "schemathesis.toml").write_text(configuration)
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run",
            f"{client.base_url}/openapi.json", "--phases", phases, "--max-examples", "5",
            "--checks", ",".join(_CHECKS), "--continue-on-failure", "--seed", "1", "--warnings", "off",
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


def test_with_a_key(client: httpx.Client, database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        key = create_key(session, "fuzz", "cli:test", list(Scope))
    (tmp_path / "with").mkdir()
    said = _fuzz(
        client, tmp_path / "with", "examples,coverage,fuzzing", f'[auth.openapi.HTTPBearer]\nbearer = "{key}"\n'
    )
    assert "No issues found" in said


def test_without_a_key(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    assert "No issues found" in _fuzz(client, tmp_path / "without", "examples,fuzzing")
