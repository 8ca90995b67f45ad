"""Runs several of our processes as one, and starts again what falls over."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from core.logs import get_logger

log = get_logger("supervisor")

_SHORTEST_LIFE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 60.0
_STOP_SECONDS = 45.0


class Supervisor:
    """One child per ``pneumo`` command line, each restarted with a growing pause."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._children = {name: _Child(name, arguments) for name, arguments in commands.items()}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Blocks until SIGTERM or SIGINT; the children then have time to finish what they hold."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            while not self._stopping.wait(0.3):
                for child in self._children.values():
                    child.keep_running()
        finally:
            for child in self._children.values():
                child.terminate()
            for child in self._children.values():
                child.wait()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping.set()


class _Child:
    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self._name, self._arguments = name, list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = self._start_after = 0.0
        self._pause = 1.0

    def keep_running(self) -> None:
        at = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._pause = 1.0 if at - self._started_at > _SHORTEST_LIFE_SECONDS else self._pause * 2
            self._start_after = at + min(self._pause, _LONGEST_PAUSE_SECONDS)
            log.error("process_ended", process=self._name, exit_code=self._process.returncode)
            self._process = None
        if self._process is None and at >= self._start_after:
            # A session of its own: Ctrl-C reaches us alone, and we stop the children in our own way.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "cli.main", *self._arguments], start_new_session=True
            )
            self._started_at = at

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("process_killed", process=self._name)
            self._process.kill()
            self._process.wait()
