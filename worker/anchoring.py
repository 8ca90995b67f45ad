"""What the delivery worker does for the chain of events: anchors it outside, and verifies it once a day."""

from __future__ import annotations

import time
from pathlib import Path

from audit.anchors import ANCHOR, Anchors, anchor_of_now, append_anchor, read_anchor_file
from audit.events import record_event
from audit.session import Database
from audit.turns import end_turn, is_turn, keep_turn, take_turn
from audit.verdicts import record_verdict
from audit.verification import Verification
from core.errors import LeaseLost
from core.logs import describe, get_logger

log = get_logger("chain")

_VERIFICATION = "verification"
_DAY_SECONDS = 86_400.0
_LEASE_SECONDS = 300.0  # after this a turn that came to nothing is somebody's again
_SLICE_SECONDS = 0.5  # the sweeper has other things to do as well


class Anchoring:
    """Call it at each sweep: once per interval, the head of the chain goes to the file."""

    def __init__(self, database: Database, path: Path, every_seconds: float) -> None:
        self._database, self._path, self._every_seconds = database, path, every_seconds

    def __call__(self) -> None:
        with self._database.read() as session:
            if not is_turn(session, ANCHOR, self._every_seconds):
                return
        with self._database.write() as session:
            token = take_turn(session, ANCHOR, self._every_seconds, _LEASE_SECONDS)
            anchor = anchor_of_now(session)
        if token is None:
            return
        try:
            append_anchor(self._path, anchor)
        except OSError as exc:
            log.error("anchor_failed", path=str(self._path), **describe(exc))
            with self._database.write() as session:
                record_event(session, "anchor.failed", code=type(exc).__name__)
            return
        try:
            with self._database.write() as session:
                end_turn(session, ANCHOR, token, anchor.event_id)
        except LeaseLost:  # the file has an anchor too many, which does no harm
            log.warning("anchor_late")


class DailyVerification:
    """Call it at each sweep: once a day the whole trail is verified, a slice at a time."""

    def __init__(self, database: Database, anchor_file: Path | None) -> None:
        self._database, self._anchor_file = database, anchor_file
        self._walk: Verification | None = None
        self._token = ""

    def __call__(self) -> None:
        if self._walk is None:
            self._walk = self._begin()
        if self._walk is None:
            return
        walk, deadline = self._walk, time.monotonic() + _SLICE_SECONDS
        try:
            while time.monotonic() < deadline:
                if not walk.step():
                    self._walk = None
                    self._end(walk)
                    return
            with self._database.write() as session:
                keep_turn(session, _VERIFICATION, self._token, _LEASE_SECONDS)
        except LeaseLost:
            self._walk = None
            log.warning("verification_lost")

    def _begin(self) -> Verification | None:
        with self._database.read() as session:
            if not is_turn(session, _VERIFICATION, _DAY_SECONDS):
                return None
        with self._database.write() as session:
            token = take_turn(session, _VERIFICATION, _DAY_SECONDS, _LEASE_SECONDS)
        if token is None:
            return None
        self._token = token
        anchors = Anchors()
        if self._anchor_file is not None and self._anchor_file.is_file():
            anchors = read_anchor_file(self._anchor_file)
        return Verification(self._database, anchors.found)

    def _end(self, walk: Verification) -> None:
        findings = walk.findings()
        with self._database.write() as session:
            end_turn(session, _VERIFICATION, self._token, findings.head.event_id if findings.head else 0)
            record_verdict(session, findings)
        if findings.first_bad is None:
            log.info("chain_verified", events=findings.events)
        else:
            log.error("chain_broken", event_id=findings.first_bad.id, why=findings.first_bad.why)
