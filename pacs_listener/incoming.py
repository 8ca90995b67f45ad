"""A received data set before it is ours: the file pynetdicom wrote, read as far as the audit row needs."""

from __future__ import annotations

import hashlib
import struct
import time
from io import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

from core.file_header import Header
from core.file_header import read_header as read_header_of


def read_header(path: Path) -> Header:
    """Raises as ``core.file_header.read_header``."""
    with path.open("rb") as file:
        return read_header_of(file)


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of the data set alone: the bytes that came over the wire, without file meta information."""
    with path.open("rb") as file:
        return digest_of(file)


def digest_of(file: BinaryIO) -> tuple[str, int]:
    """As ``digest``, of an open file, but no BytesIO, of which hashlib takes all. Raises struct.error: cut off."""
    file.seek(132)
    # PS3.10 7.1: after preamble and prefix stands (0002,0000), the length of the rest of the group.
    (group_length,) = struct.unpack("<8xL", file.read(12))
    start = file.seek(group_length, SEEK_CUR)
    return hashlib.file_digest(file, "sha256").hexdigest(), file.tell() - start  # type: ignore[arg-type]


def sweep(folder: Path, idle_seconds: float = 0) -> int:
    """Delete what peers that hung up and processes that died left behind, and say how many files that were."""
    swept = 0
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime >= idle_seconds:
                path.unlink()
                swept += 1
        except FileNotFoundError:  # adopted, or deleted by its association, in this moment
            continue
    return swept
