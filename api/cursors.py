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
_LAYOUT = struct.Struct(">8sdq")  # digest of what was asked, probability, row id
_TIMED_LAYOUT = struct.Struct(">8sqq")  # the same with microseconds since the epoch


def encode_place(key: PageKey, list_name: str, sort: Sort, asked: Mapping[str, object]) -> str:
    """Where a page of this list ended, in this sort and with these filters alone."""
    by, row_id = key
    digest = _digest(list_name, sort, asked)
    if isinstance(by, datetime):
        return _text(_TIMED_LAYOUT.pack(digest, _microseconds(by), row_id))
    return _text(_LAYOUT.pack(digest, by, row_id))


def decode_place(cursor: str, list_name: str, sort: Sort, asked: Mapping[str, object]) -> PageKey:
    """Raises ValueError where it is no cursor, or one of another list, sort or filter."""
    layout = _LAYOUT if sort.by_probability else _TIMED_LAYOUT
    try:
        digest, by, row_id = layout.unpack(_bytes(cursor))
        key = (by if sort.by_probability else _EPOCH + timedelta(microseconds=by), row_id)
    except (binascii.Error, struct.error, OverflowError, ValueError) as exc:
        raise ValueError("not a cursor of this service; give the `next` of a page, unchanged") from exc
    if digest != _digest(list_name, sort, asked):
        raise ValueError("the cursor belongs to another list, sort or filter; begin again without it")
    return key


def _digest(list_name: str, sort: Sort, asked: Mapping[str, object]) -> bytes:
    return hashlib.sha256(json.dumps([list_name, sort, asked], sort_keys=True).encode()).digest()[:8]


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _text(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _bytes(cursor: str) -> bytes:
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
