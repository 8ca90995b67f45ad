"""Opaque marks of where a page ended. What is in them is ours to change, so they do not look like something to edit."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from audit.listing import PageKey, Sort

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT = struct.Struct(">qq")  # microseconds since the epoch, row id
_LIST_LAYOUT = struct.Struct(">8sdq")  # digest of what was asked, probability, row id
_TIMED_LAYOUT = struct.Struct(">8sqq")  # the same with microseconds since the epoch


def encode_cursor(at: datetime, row_id: int) -> str:
    return _text(_LAYOUT.pack(_microseconds(at), row_id))


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """Raises ValueError where the text is none of our cursors."""
    try:
        microseconds, row_id = _LAYOUT.unpack(_bytes(cursor))
        return _EPOCH + timedelta(microseconds=microseconds), row_id
    except (binascii.Error, struct.error, OverflowError, ValueError) as exc:
        raise ValueError("not a cursor of this service; give the `next` of a page, unchanged") from exc


def encode_place(key: PageKey, sort: Sort, asked: Mapping[str, object]) -> str:
    """Where a page of a list ended, of this sort and with these filters alone."""
    by, row_id = key
    if isinstance(by, datetime):
        return _text(_TIMED_LAYOUT.pack(_digest(sort, asked), _microseconds(by), row_id))
    return _text(_LIST_LAYOUT.pack(_digest(sort, asked), by, row_id))


def decode_place(cursor: str, sort: Sort, asked: Mapping[str, object]) -> PageKey:
    """Raises ValueError where it is no cursor, or one of another list, sort or filter."""
    layout = _LIST_LAYOUT if sort.by_probability else _TIMED_LAYOUT
    try:
        digest, by, row_id = layout.unpack(_bytes(cursor))
        key = (by if sort.by_probability else _EPOCH + timedelta(microseconds=by), row_id)
    except (binascii.Error, struct.error, OverflowError, ValueError) as exc:
        raise ValueError("not a cursor of this service; give the `next` of a page, unchanged") from exc
    if digest != _digest(sort, asked):
        raise ValueError("the cursor belongs to another sort or other filters; begin again without it")
    return key


def _digest(sort: Sort, asked: Mapping[str, object]) -> bytes:
    return hashlib.sha256(json.dumps([sort, asked], sort_keys=True).encode()).digest()[:8]


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _text(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _bytes(cursor: str) -> bytes:
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
