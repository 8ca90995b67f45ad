"""The files that the books name, read and held against their digests."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from audit.session import Database
    from audit.spooled_files import SpooledFile
    from core.spool import Spool


@dataclass
class CheckedFiles:
    checked: int = 0
    missing: int = 0
    changed: int = 0
    first_bad: str | None = None

    def _note(self, words: str) -> None:
        self.first_bad = self.first_bad or words


def check_files(database: Database, spool: Spool, advance: Callable[[], None]) -> CheckedFiles:
    """Raises OSError: the spool cannot be read, as opposed to a file that is not in it."""
    from audit.spooled_files import is_still_named, spooled_files

    done = CheckedFiles()
    for each in spooled_files(database):
        done.checked += 1
        advance()
        try:
            with spool.open(each.spool_name) as file:
                is_same = _digest(file, each) == each.sha256
        except FileNotFoundError:
            if is_still_named(database, each):
                done.missing += 1
                done._note(f"{each.what}: its file is missing from the spool")
            continue
        if not is_same:
            done.changed += 1
            done._note(f"{each.what}: its file in the spool was changed")
    return done


def _digest(file: BinaryIO, of: SpooledFile) -> str:
    from pacs_listener.incoming import digest_of

    if not of.as_received:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    try:
        return digest_of(file)[0]
    except struct.error:  # cut off within its first bytes
        return ""
