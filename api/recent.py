"""Answers that anyone may ask for and that cost something: worked out once, then given for a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Recent(Generic[Answer]):
    """A flood of requests costs one working-out per ``seconds``; who comes during one waits for its answer."""

    def __init__(self, work_out: Callable[[], Answer], seconds: float) -> None:
        self._work_out = work_out
        self._seconds = seconds
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._until = 0.0

    def get(self) -> Answer:
        with self._lock:
            if self._answer is None or time.monotonic() >= self._until:
                self._answer = self._work_out()
                self._until = time.monotonic() + self._seconds
            return self._answer
