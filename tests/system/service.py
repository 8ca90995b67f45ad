"""The service under test as an administrator would run it: real processes, a pneumo.toml, the API asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.services import free_port

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LISTENER, INFERENCE, DELIVERY, API = "listen", "work --queue inference", "work --queue delivery", "serve"
EVERYTHING = (LISTENER, INFERENCE, DELIVERY, API)

_CONFIGURATION = """
log_format = "json"

[listener]
ae_title = "PNEUMO"
port = {listener_port}
disk_reserve_bytes = 0

[api]
port = {api_port}

[worker]
batch_size = {batch_size}
lease_seconds = {lease_seconds}
maximum_attempts = 4
retry_seconds = 0.5
study_idle_seconds = 1
sweep_seconds = 0.5
message_life_seconds = 3

[delivery]
lease_seconds = 10
first_retry_seconds = 1
longest_pause_seconds = 2

[[sources]]
name = "test modality"
ae_titles = ["MODALITY", "MODALITY2"]

[[destinations]]
name = "test PACS"
ae_title = "{pacs_ae_title}"
host = "127.0.0.1"
port = {pacs_port}
timeout_seconds = 10
"""


class Service:
    """Processes of ours by name, with their output in ``<folder>/<n>-<name>.log``."""

    def __init__(
        self,
        folder: Path,
        *,
        pacs_ae_title: str,
        pacs_port: int,
        environment: Mapping[str, str],
        batch_size: int = 16,
        lease_seconds: float = 60,
    ) -> None:
        self.folder, self.listener_port, self.api_port = folder, free_port(), free_port()
        folder.mkdir(parents=True)
        configuration = folder / "pneumo.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                listener_port=self.listener_port,
                api_port=self.api_port,
                pacs_ae_title=pacs_ae_title,
                pacs_port=pacs_port,
                batch_size=batch_size,
                lease_seconds=lease_seconds,
            )
        )
        self.environment = {
            **os.environ, "PNEUMO_CONFIG": str(configuration), "PNEUMO_HOME": str(folder / "home"), **environment,
        }  # fmt: skip
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = 0
        self.command("migrate")
        scopes = [word for scope in ("audit:read", "phi:read") for word in ("--scope", scope)]
        self._key = self.command("keys", "create", "test", *scopes, "--json")

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"pneumo {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *names: str) -> None:
        for name in names:
            self._starts += 1
            path = self.folder / f"{self._starts:02}-{name.replace(' ', '_')}.log"
            with path.open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "cli.main", *name.split()],
                    env=self.environment, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip

    def kill(self, name: str) -> None:
        """kill -9: no handler runs, nothing is given back."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.api_port}{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {json.loads(self._key)['key']}"})  # noqa: S310
        with _DIRECTLY.open(request, timeout=20) as answer:
            return json.load(answer)

    def predictions(self) -> list[dict[str, Any]]:
        """All of them, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.ask("/v1/predictions", limit="200", **cursor)
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    def wait_ready(self) -> None:
        wait_until(lambda: self._answers("/health/ready"), 240, "the service to be ready")

    def wait_listening(self) -> None:
        """Listener and API; a worker may be there or not."""
        wait_until(lambda: _connects(self.listener_port), 120, "the listener to listen")
        wait_until(lambda: self._answers("/health/live"), 120, "the API to answer")

    def _answers(self, path: str) -> bool:
        try:
            self.ask(path)
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.25)
