"""Tells an audit record repository of audit events: DICOM audit messages over syslog (PS3.15 A.5, A.6).

The table of audit events is the spool. Its ids run in the order of commits, so a place in it is all that has to be
kept, and while the receiver is away nothing is lost and nothing piles up elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from audit.anchors import anchor_of_now
from audit.session import Database
from audit.turns import end_turn, is_turn, move_on, take_turn
from audit.witnessed import SYSLOG, read_place, read_witnessed
from core.audit_settings import Syslog
from core.errors import LeaseLost
from core.logs import describe, get_logger
from core.settings import Settings
from worker.audit_messages import WITNESSED, messages_of
from worker.audit_security import anchor
from worker.audit_xml import Message, Outcome, xml_of
from worker.syslog import Connection, SinkAway, SinkLost, frame

log = get_logger("syslog")

_ANCHOR = "syslog_anchor"
_BATCH = 200
_LEASE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 60.0
_TAIL_SECONDS = 30.0
"""What was sent this shortly before the receiver broke down is sent again."""
_STOP_SECONDS = 10.0

# RFC 5424 6.2.1: notice, warning, error, critical
_SEVERITIES = {
    Outcome.SUCCESS: 5,
    Outcome.MINOR_FAILURE: 4,
    Outcome.SERIOUS_FAILURE: 3,
    Outcome.MAJOR_FAILURE: 2,
}


class EventForwarding(threading.Thread):
    """Beside the delivery worker, in a thread of its own: a receiver that hangs holds up nobody else.

    Several workers may each have one; they take turns, a batch of events at a time.
    """

    def __init__(self, settings: Settings, syslog: Syslog, database: Database) -> None:
        """Raises ConfigurationError where TLS cannot be set up."""
        super().__init__(name="syslog", daemon=True)
        self._settings, self._syslog, self._database = settings, syslog, database
        self._connection = Connection(syslog)
        self._sent: deque[tuple[float, int]] = deque()
        """When each of the latest batches was sent, and after which event it begins."""
        self._again_from: int | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """What is on record by now is told, if the receiver takes it within some seconds."""
        self._stopping.set()
        if self.is_alive():
            self.join(_STOP_SECONDS)

    def run(self) -> None:
        normal = pause = self._settings.worker.sweep_seconds
        while not self._stopping.wait(pause):
            pause = normal if self._forward_or_log() else min(pause * 2, _LONGEST_PAUSE_SECONDS)
        self._forward_or_log()
        self._connection.close()

    def _forward_or_log(self) -> bool:
        try:
            self.forward()
        except SinkAway as exc:
            log.warning("syslog_unreachable", cause=exc.code, host=self._syslog.host, port=self._syslog.port)
            return False
        except LeaseLost:
            log.warning("lease_lost", turn=SYSLOG)
        except Exception as exc:  # noqa: BLE001 - the witness must hear of what comes next, whatever this was
            log.error("forwarding_failed", **describe(exc))
            return False
        return True

    def forward(self) -> None:
        """Tell everything that is on record. Raises SinkAway and LeaseLost; the next call goes on where this ended."""
        with self._database.read() as session:
            place, last = read_place(session, SYSLOG)
            anchor_is_due = is_turn(session, _ANCHOR, self._settings.audit.anchor_seconds)
        if place < last or self._again_from is not None:
            self._forward_events()
        if anchor_is_due:
            self._forward_anchor()

    def _forward_events(self) -> None:
        with self._database.write() as session:
            token = take_turn(session, SYSLOG, 0, _LEASE_SECONDS)
            place, last = read_place(session, SYSLOG)
        if token is None:
            return
        reached = place
        if self._again_from is not None:
            reached = min(place, self._again_from)
        try:
            while reached < last:
                reached = self._forward_batch(reached)
                self._again_from = None if reached >= place else reached
                with self._database.write() as session:
                    move_on(session, SYSLOG, token, max(reached, place), _LEASE_SECONDS)
                    place, last = max(reached, place), max(last, read_place(session, SYSLOG)[1])
        finally:
            with self._database.write() as session:
                end_turn(session, SYSLOG, token, max(reached, place))

    def _forward_batch(self, after_id: int) -> int:
        """The event up to which all were told."""
        with self._database.read() as session:
            known = read_witnessed(session, after_id, WITNESSED.keys(), _BATCH)
        frames = [self._frame(message) for message in messages_of(known, self._settings)]
        if frames:
            self._send(frames, after_id)
        return known.last_id

    def _forward_anchor(self) -> None:
        with self._database.write() as session:
            token = take_turn(session, _ANCHOR, self._settings.audit.anchor_seconds, _LEASE_SECONDS)
            head = anchor_of_now(session)
        if token is None:
            return
        message = anchor(head.at, head.event_id, head.hash, head.events, self._settings.listener.ae_title)
        self._send([self._frame(message)], None)
        with self._database.write() as session:
            end_turn(session, _ANCHOR, token, head.event_id)

    def _send(self, frames: list[bytes], after_id: int | None) -> None:
        at = time.monotonic()
        while self._sent and self._sent[0][0] < at - _TAIL_SECONDS:
            self._sent.popleft()
        try:
            self._connection.send(frames)
        except SinkLost:
            if self._sent:
                self._again_from = self._sent[0][1]
            raise
        if after_id is not None:
            self._sent.append((at, after_id))

    def _frame(self, message: Message) -> bytes:
        return frame(
            xml_of(message, self._settings.listener.ae_title),
            at=message.at,
            severity=_SEVERITIES[message.outcome],
            facility=self._syslog.facility,
        )
