"""What is done once per interval, however many processes could: each turn is leased to whoever comes first."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from audit.models import EventReader, now
from core.errors import LeaseLost


def is_turn(session: Session, name: str, every_seconds: float) -> bool:
    """Whether it is worth asking for the turn; a look that takes no lock."""
    return _is_due(session.get(EventReader, name), every_seconds, now())


def take_turn(session: Session, name: str, every_seconds: float, lease_seconds: float) -> str | None:
    """The token of the turn, or None where somebody else has it or it is too early."""
    at = now()
    reader = session.scalar(select(EventReader).where(EventReader.name == name).with_for_update())
    if not _is_due(reader, every_seconds, at):
        return None
    if reader is None:
        reader = EventReader(name=name, at=at - timedelta(seconds=every_seconds))
        try:
            with session.begin_nested():
                session.add(reader)
        except IntegrityError:  # another process came first to the very first turn
            return None
    reader.token, reader.lease_until = secrets.token_hex(16), at + timedelta(seconds=lease_seconds)
    session.flush()
    return reader.token


def keep_turn(session: Session, name: str, token: str, lease_seconds: float) -> None:
    """Raises LeaseLost."""
    _settle(session, name, token, lease_until=now() + timedelta(seconds=lease_seconds))


def move_on(session: Session, name: str, token: str, event_id: int, lease_seconds: float) -> None:
    """Done up to this event, and the turn goes on. Raises LeaseLost."""
    _settle(session, name, token, event_id=event_id, lease_until=now() + timedelta(seconds=lease_seconds))


def end_turn(session: Session, name: str, token: str, event_id: int) -> None:
    """Done, up to this event; the next turn is an interval from now. Raises LeaseLost."""
    _settle(session, name, token, event_id=event_id, at=now(), token=None, lease_until=None)


def _settle(session: Session, name: str, held: str, **values: object) -> None:
    mine = (EventReader.name == name, EventReader.token == held)
    statement = update(EventReader).where(*mine).values(**values).returning(EventReader.name)
    if session.scalar(statement) is None:
        raise LeaseLost(f"the turn of {name} was taken by another process")


def _is_due(reader: EventReader | None, every_seconds: float, at: datetime) -> bool:
    if reader is None:
        return True
    if reader.lease_until is not None and reader.lease_until >= at:
        return False
    return reader.at <= at - timedelta(seconds=every_seconds)
