"""The bar of a running pull: days first, studies then."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class PullProgress:
    """Lines alone where nobody looks on."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._console = console
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> PullProgress:
        self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, what: str, total: int) -> None:
        self._bar.reset(self._task, description=what, total=total)

    def advance(self) -> None:
        self._bar.advance(self._task)

    def wait_until(self, opening: datetime) -> None:
        self.say(f"outside the hours: waiting until {opening:%Y-%m-%d %H:%M}")

    def say(self, sentence: str) -> None:
        self._console.print(sentence)
