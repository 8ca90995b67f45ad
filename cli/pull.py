"""A back-fill from its query to its last study. Every step is a row, so that a pull ends at any moment and goes on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from audit import pulls
from audit.pulls import OpenPull, PullQuery
from audit.session import Database
from cli.pull_intake import PullIntake
from cli.pull_pace import Window, pause_before_next
from cli.pull_progress import PullProgress
from core.errors import FailedForGood, RetryLater
from worker.archive import Archive, FoundSeries

_MOST_FAILURES_IN_A_ROW = 3
_LONGEST_NAP = 60.0
"""Seconds between looks at the clock: a machine may sleep, and summer time begin, while we wait for hours."""


class Stopped(Exception):
    """``code`` says why; the pull can be resumed."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Pace:
    window: Window | None = None
    per_minute: float | None = None
    pause_seconds: float = 1
    """After a failure of the archive as a whole; doubles with the next one in a row."""


class Puller:
    def __init__(self, archive: Archive, pace: Pace, stopping: threading.Event, progress: PullProgress) -> None:
        self._archive, self._pace, self._stopping, self._progress = archive, pace, stopping, progress
        self._last_began: float | None = None
        self._failures_in_a_row = 0
        self.malformed = 0
        """Matches without a valid Study Instance UID."""
        self.here_already = 0
        """Studies of which nothing had to be asked for."""

    def list_studies(self, query: PullQuery) -> list[str]:
        """Of all days, without a trace in the database. Raises Stopped."""
        days = _days(query.since, query.until)
        self._progress.begin("days", len(days))
        return list(dict.fromkeys(uid for day in days for uid in self._list_day(day, query.modalities)))

    def book_studies(self, database: Database, pull: OpenPull) -> None:
        """The days that have not been listed yet. Raises Stopped."""
        query, listed = pull.query, pull.listed_until
        days = _days(query.since if listed is None else listed + timedelta(days=1), query.until)
        self._progress.begin("days", len(days))
        for day in days:
            uids = self._list_day(day, query.modalities)
            with database.write() as session:
                pulls.add_day(session, pull.id, day, uids)

    def retrieve_studies(self, database: Database, pull: OpenPull, intake: PullIntake, *, again: bool) -> None:
        """One by one until none is left. Raises Stopped."""
        with database.read() as session:
            self._progress.begin("studies", pulls.progress(session, pull.id).pending)
        while True:
            with database.read() as session:
                study = pulls.next_study(session, pull.id)
            if study is None:
                return
            self._wait_for_the_next()
            if not intake.has_room():
                raise Stopped("disk_reserve_reached")
            try:
                came, failed = self._retrieve(database, study.study_instance_uid, pull.query, intake, again)
            except RetryLater as exc:
                with database.write() as session:
                    is_over = pulls.postpone(session, study.id, exc.code)
                if is_over:
                    self._progress.advance()
                self._count_failure(exc)
                continue
            except FailedForGood as exc:
                self._failures_in_a_row = 0
                with database.write() as session:
                    pulls.mark_failed(session, study.id, exc.code)
            else:
                self._failures_in_a_row = 0
                with database.write() as session:
                    if failed:
                        pulls.mark_failed(session, study.id, "images_failed", came)
                    else:
                        pulls.mark_done(session, study.id, came)
            finally:
                intake.clear()
            self._progress.advance()

    def _retrieve(
        self, database: Database, uid: str, query: PullQuery, intake: PullIntake, again: bool
    ) -> tuple[int, int]:
        """How many images came, and how many did not."""
        intake.study_instance_uid = uid
        series = self._archive.find_series(uid, query.modalities)
        if not series:
            raise FailedForGood("study_not_found")
        missing = [
            (each, held)
            for each in series
            if each.modality in query.modalities
            for held in [_held(database, uid, each)]
            if again or each.images is None or held < each.images
        ]
        self.here_already += not missing
        came = failed = 0
        for each, held in missing:
            retrieved = self._archive.retrieve(uid, each.series_instance_uid)
            completed = retrieved.completed
            if completed is None:
                completed = _held(database, uid, each) - held
            if not completed and not retrieved.failed and each.images != 0:
                raise FailedForGood("nothing_came")
            came, failed = came + completed, failed + retrieved.failed
        return came, failed

    def _list_day(self, day: date, modalities: tuple[str, ...]) -> tuple[str, ...]:
        while True:
            self._wait_for_the_window()
            try:
                found = self._archive.find_studies(day, modalities)
            except RetryLater as exc:
                self._count_failure(exc)
                continue
            except FailedForGood as exc:
                raise Stopped(exc.code, f"{day}: {exc.detail}" if exc.detail else f"{day}") from exc
            self._failures_in_a_row = 0
            self.malformed += found.malformed
            self._progress.advance()
            return found.uids

    def _count_failure(self, exc: RetryLater) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            raise Stopped(exc.code, exc.detail) from exc
        self._nap(self._pace.pause_seconds * 2.0 ** (self._failures_in_a_row - 1))

    def _wait_for_the_next(self) -> None:
        self._nap(pause_before_next(self._last_began, time.monotonic(), self._pace.per_minute))
        self._wait_for_the_window()
        self._last_began = time.monotonic()

    def _wait_for_the_window(self) -> None:
        told = False
        while self._pace.window is not None:
            at = datetime.now(UTC).astimezone()
            opening = self._pace.window.opens_next(at)
            if opening is None:
                break
            if not told:
                self._progress.wait_until(opening)
                told = True
            self._nap(min((opening - at).total_seconds(), _LONGEST_NAP))
        self._nap(0)

    def _nap(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped("interrupted")


def _held(database: Database, study_instance_uid: str, series: FoundSeries) -> int:
    with database.read() as session:
        return pulls.count_images(session, study_instance_uid, series.series_instance_uid)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
