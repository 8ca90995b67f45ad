"""``pneumo serve`` on a signal: it ends in order, and both its start and its end are on record."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import select

from audit import schema
from audit.models import AuditEvent
from audit.session import Database
from tests.services import free_port


def test_a_signal_ends_the_api_in_order(tmp_path: Path) -> None:
    port = free_port()
    database = Database(f"sqlite:///{tmp_path}/pneumo.db")
    schema.upgrade(database)
    (tmp_path / "pneumo.toml").write_text(f"[api]\nport = {port}\n", "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve"], env={**os.environ, "PNEUMO_HOME": str(tmp_path)}
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, "the API ended while it was starting"
            assert time.monotonic() < deadline, "the API did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    with database.read() as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        told = [(event.kind, event.subject, event.data.get("reason")) for event in events]
    database.close()
    assert told == [("application.started", "api", None), ("application.stopped", "api", "signal")]
