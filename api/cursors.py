"""Opaque marks of where a page ended. What is in them is ours to change, so they do not look like something to edit."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT = struct.Struct(">qq")  # microseconds since the epoch, row id


def encode_cursor(at: datetime, row_id: int) -> str:
    packed = _LAYOUT.pack((at - _EPOCH) // timedelta(microseconds=1), row_id)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """Raises ValueError where the text is none of our cursors."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        microseconds, row_id = _LAYOUT.unpack(packed)
        return _EPOCH + timedelta(microseconds=microseconds), row_id
    except (binascii.Error, struct.error, OverflowError, ValueError) as exc:
        raise ValueError("not a cursor of this service; give the `next` of a page, unchanged") from exc
