"""Finds the programs, servers and images a test needs.

Where one is missing the test is skipped; with PNEUMO_REQUIRE_SERVICES=1, as in CI, it fails.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest


def missing(what: str) -> None:
    """Skip the test, or fail it where everything is required."""
    if os.environ.get("PNEUMO_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what}, and PNEUMO_REQUIRE_SERVICES=1 forbids skipping")
    pytest.skip(what)


def require_program(name: str) -> str:
    """The path of a program of DCMTK, dicom3tools, Orthanc and the like."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(f"the program {name} is not installed")
    assert path is not None
    return path


def require_images() -> Path:
    """The folder that holds ``chest_xray/train`` and ``chest_xray_fullsize`` (PNEUMO_TEST_IMAGES)."""
    folder = Path(os.environ.get("PNEUMO_TEST_IMAGES", ""))
    if not os.environ.get("PNEUMO_TEST_IMAGES") or not (folder / "chest_xray_fullsize").is_dir():
        missing("PNEUMO_TEST_IMAGES does not name a folder with chest_xray_fullsize/ in it")
    return folder


def _require_port(name: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        missing(f"no {name} answers on {host}:{port}")


def require_redis() -> str:
    """URL of a Redis database the tests may flush: number 15, and one less for each process that tests beside us."""
    _require_port("Redis", "127.0.0.1", 6379)
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return f"redis://127.0.0.1:6379/{15 - process}"


def require_rabbitmq() -> str:
    _require_port("RabbitMQ", "127.0.0.1", 5672)
    return "amqp://guest:guest@127.0.0.1:5672//"


def require_postgresql() -> str:
    """URL of the server's maintenance database; tests make and drop databases of their own beside it."""
    url = os.environ.get("PNEUMO_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
    _require_port("PostgreSQL", "127.0.0.1", 5432)
    return url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
