"""The supervisor over real processes of ours: what falls over is started again, and stops when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.services import free_port, missing


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(port: int, *, up: bool) -> None:
    deadline = time.monotonic() + 40
    while listens(port) is not up:
        assert time.monotonic() < deadline, f"port {port} is not {'up' if up else 'down'} after 40 s"
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_child_comes_back_and_all_stop_together(tmp_path: Path) -> None:
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        missing("this system does not list the children of a process")
    port = free_port()
    code = "from cli.supervisor import Supervisor; Supervisor({'api': ['serve']}).run()"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    with (tmp_path / "log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env={**inherited, "PNEUMO_API__PORT": str(port)},
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for(port, up=True)
            os.kill(children(supervisor.pid)[0], signal.SIGKILL)
            wait_for(port, up=False)
            wait_for(port, up=True)
        finally:
            supervisor.terminate()
            assert supervisor.wait(60) == 0
    assert not listens(port)
