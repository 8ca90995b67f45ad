"""Whether the audit trail is as it was written: every event, the head, the outside anchors, and what the books say.

The walk is made of short transactions and goes up to the head as it was at the start, so it may run beside writers:
an event below the head never changes, unless somebody changes it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import rfc8785
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.anchors import Anchor
from audit.chain import GENESIS, HEAD, digest
from audit.evidence.book import Fault
from audit.evidence.books import Books
from audit.models import AuditEvent, ChainHead
from audit.session import Database

_AT_ONCE = 1000
_BEFORE_ALL = -(2**62)
"""Below every id that an INSERT could have chosen."""


@dataclass(frozen=True, slots=True)
class Head:
    event_id: int
    hash: str
    events: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that the database gives back and that is no event."""

    id: int


@dataclass(frozen=True, slots=True)
class Findings:
    events: int
    head: Head | None
    """As the database had it at the start."""
    first_bad: Fault | None
    """In the order of the events; what only the books show comes after."""
    anchors: int
    """How many were held against the chain."""
    books: dict[str, int]
    """Events that were held against the rows they tell of, by book; ``older_predictions`` are rows from before events
    said what was predicted."""

    @property
    def whole(self) -> bool:
        return self.first_bad is None


class Verification:
    """One walk. Call ``step`` until it returns False, then ask for ``findings``."""

    def __init__(self, database: Database, anchors: Sequence[Anchor] = ()) -> None:
        """``anchors`` must have been read before this: those made meanwhile lie beyond the end of the walk."""
        self._database = database
        self._fault: Fault | None = None
        self._anchors, self._anchors_held = deque(each for each in anchors if each.event_id), 0
        self._check_order(anchors)
        with database.read() as session:
            self._head, self._end = _start(session)
        self._books = Books()
        self._id, self._count = _BEFORE_ALL, 0
        self._hash: str | None = GENESIS
        self._walked = False

    def step(self) -> bool:
        """Some hundred events, or some hundred rows of the books; False once all is done."""
        with self._database.snapshot() as session:
            if self._walked:
                return self._fault is None and self._books.page(session)
            events = _events(session, self._id, self._end)
            for event in events:
                self._hold(session, event)
            self._books.compare(session)
        if not events:
            self._check_end()
            self._walked = True
        return True

    @property
    def progress(self) -> float:
        """Share of the events that is done."""
        return min(self._count / self._head.events, 1.0) if self._head and self._head.events else 1.0

    def findings(self) -> Findings:
        fault = self._fault or self._books.first_bad
        return Findings(self._count, self._head, fault, self._anchors_held, self._books.counts())

    def _hold(self, session: Session, event: AuditEvent | Unreadable) -> None:
        self._count += 1
        if isinstance(event, Unreadable):
            self._note(event.id, "was changed: it cannot be read any more")
            self._id, self._hash = event.id, None
            return
        if not _is_itself(event):
            self._note(event.id, "was changed: what it says does not give its hash")
        elif self._hash not in (None, event.previous):
            self._note(*self._break(session, event))
        elif self._head and event.id > self._head.event_id:
            self._note(event.id, "stands after the end of the chain: it was inserted, or the head was moved back")
        else:
            self._books.take(event)
        self._id, self._hash = event.id, event.hash
        self._check_anchors(event)

    def _break(self, session: Session, event: AuditEvent) -> tuple[int, str]:
        """Which row is to blame when one does not follow the one before it."""
        if self._fault is not None:
            return event.id, ""
        inserted = _first_after(session, event.previous, event.id)
        if inserted is not None:
            return inserted, f"was inserted: event {event.id} follows the one before it"
        if event.id - self._id > 1 or self._id == _BEFORE_ALL:
            first = 1 if self._id == _BEFORE_ALL else self._id + 1
            return first, f"is missing: events were removed before event {event.id}"
        return self._id, f"was changed, and its hash with it: event {event.id} follows another one"

    def _check_anchors(self, event: AuditEvent) -> None:
        while self._anchors and self._anchors[0].event_id <= event.id:
            anchor = self._anchors.popleft()
            self._anchors_held += 1
            if (anchor.event_id, anchor.hash, anchor.events) != (event.id, event.hash, self._count):
                words = f"is not what the anchor of {anchor.at:%Y-%m-%d %H:%M:%S} UTC says"
                self._note(anchor.event_id, f"{words}: it or an event before it was changed or removed")

    def _check_end(self) -> None:
        head, last = self._head, max(self._id, 0)
        if head is None:
            self._note(None, "the head of the chain is missing")
        elif last < head.event_id:
            self._note(last + 1, f"is missing: the head of the chain names event {head.event_id}, the end was removed")
        elif last == head.event_id and self._hash != head.hash:
            self._note(head.event_id, "was changed, or the head of the chain was: their hashes differ")
        elif self._count != head.events:
            self._note(None, f"the head of the chain counts {head.events} events, there are {self._count}")
        if self._anchors:
            anchor = self._anchors[0]
            self._note(
                anchor.event_id,
                f"is missing: the anchor of {anchor.at:%Y-%m-%d %H:%M:%S} UTC names it, and the chain ends before it",
            )

    def _check_order(self, anchors: Sequence[Anchor]) -> None:
        for earlier, later in itertools.pairwise(anchors):
            if later.event_id < earlier.event_id:
                self._note(
                    later.event_id,
                    f"was the last one at {later.at:%Y-%m-%d %H:%M:%S} UTC by its anchor, after event "
                    f"{earlier.event_id} had been: the chain was moved back in between",
                )

    def _note(self, event_id: int | None, why: str) -> None:
        if self._fault is None:
            self._fault = Fault(event_id, why)


def _start(session: Session) -> tuple[Head | None, int]:
    """The head, and where the walk ends, by one statement: a writer may add to both in between."""
    last = select(func.max(AuditEvent.id)).scalar_subquery()
    row = session.execute(
        select(ChainHead.event_id, ChainHead.hash, ChainHead.events, last).where(ChainHead.id == HEAD)
    ).one_or_none()
    if row is None:
        return None, session.scalar(select(func.max(AuditEvent.id))) or 0
    return Head(*row[:3]), max(row[0], row[3] or 0)


def _events(session: Session, after: int, end: int) -> Sequence[AuditEvent | Unreadable]:
    where = (AuditEvent.id > after, AuditEvent.id <= end)
    statement = select(AuditEvent).where(*where).order_by(AuditEvent.id).limit(_AT_ONCE)
    try:
        return session.scalars(statement).all()
    except (ValueError, TypeError):  # no JSON, or no time, in one of them: SQLite takes anything
        ids = session.scalars(select(AuditEvent.id).where(*where).order_by(AuditEvent.id).limit(_AT_ONCE)).all()
        return [_one(session, event_id) for event_id in ids]


def _one(session: Session, event_id: int) -> AuditEvent | Unreadable:
    try:
        return session.get_one(AuditEvent, event_id)
    except (ValueError, TypeError):
        return Unreadable(event_id)


def _is_itself(event: AuditEvent) -> bool:
    try:
        return digest(event) == event.hash
    except rfc8785.CanonicalizationError:  # numbers or letters that our JSON never has
        return False


def _first_after(session: Session, named: str, before: int) -> int | None:
    """The first event after the one that has this hash, if there is such a one below ``before``."""
    of_hash = None
    if named != GENESIS:
        of_hash = session.scalar(
            select(func.max(AuditEvent.id)).where(AuditEvent.hash == named, AuditEvent.id < before)
        )
        if of_hash is None:
            return None
    after = AuditEvent.id > of_hash if of_hash is not None else AuditEvent.id < before
    return session.scalar(select(func.min(AuditEvent.id)).where(after))
