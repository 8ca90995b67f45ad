"""Anchors: the head of the chain as it once was, kept where whoever can write to the database cannot.

An anchor is one line of JSON in a file that is only appended to. A chain that was cut off or written anew from some
event on is whole in itself; an anchor of later than that shows it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from audit.chain import HEAD
from audit.models import ChainHead, EventReader, now

ANCHOR = "anchor"
"""Whose turn it is to write to the file, in ``audit.turns``."""


@dataclass(frozen=True, slots=True)
class Anchor:
    at: datetime
    event_id: int
    hash: str
    events: int
    """How many there were, the named one included."""

    def line(self) -> str:
        """Without the end of the line."""
        document = {"at": _text(self.at), "event_id": self.event_id, "hash": self.hash, "events": self.events}
        return json.dumps(document, separators=(",", ":"))


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def anchor_of_now(session: Session) -> Anchor:
    head = session.get_one(ChainHead, HEAD)
    return Anchor(now(), head.event_id, head.hash, head.events)


def last_anchor(session: Session) -> tuple[datetime, int] | None:
    """When the file last got one, and of which event; None where it never did."""
    reader = session.get(EventReader, ANCHOR)
    return (reader.at, reader.event_id) if reader is not None and reader.event_id else None


def append_anchor(path: Path, anchor: Anchor) -> None:
    """On the disk on return. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a power cut: one line is lost, not two
        os.write(descriptor, b"\n" * torn + anchor.line().encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Anchors:
    found: tuple[Anchor, ...] = ()
    unreadable: int = 0
    """Lines that are none."""


def read_anchors(lines: Iterable[str]) -> Anchors:
    found, unreadable = [], 0
    for line in lines:
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            at = datetime.fromisoformat(document["at"])
            found.append(Anchor(at, int(document["event_id"]), str(document["hash"]), int(document["events"])))
        except (ValueError, TypeError, KeyError):
            unreadable += 1
    return Anchors(tuple(found), unreadable)


def read_anchor_file(path: Path) -> Anchors:
    """Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        return read_anchors(lines)
