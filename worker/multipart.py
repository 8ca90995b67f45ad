"""Reads multipart/related as it arrives (RFC 2046 5.1.1, RFC 2387): parts of any size, headers of a bounded one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from email.message import Message

_MOST_HEADER_BYTES = 16 * 1024
_MOST_PREAMBLE_BYTES = 64 * 1024


class MultipartError(ValueError):
    """What arrives is no multipart message, or holds more than was agreed."""


class MultipartBrokeOff(MultipartError):
    """There was to be more."""


def boundary_of(content_type: str) -> bytes:
    """Raises MultipartError."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/related" or not boundary or len(boundary) > 200:
        raise MultipartError("not multipart/related with a boundary")
    return boundary.encode("latin-1", "replace")


class MultipartReader:
    """Each part in turn: ``next_part`` gives its content type, ``copy`` its content."""

    def __init__(self, chunks: Iterable[bytes], boundary: bytes) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._delimiter = b"\r\n--" + boundary
        self._held = bytearray(b"\r\n")  # the first delimiter may stand at the very start
        self._is_copied = True
        self._copy_until(self._delimiter, _nowhere, _MOST_PREAMBLE_BYTES)

    def next_part(self) -> str | None:
        """Content-Type of the next part without parameters, empty where it has none; None after the last part."""
        if not self._is_copied:
            raise RuntimeError("a part is copied before the next one is asked for")
        while len(self._held) < 2:
            self._fill()
        if self._held[:2] == b"--":
            return None
        header = bytearray()
        self._copy_until(b"\r\n\r\n", header.extend, _MOST_HEADER_BYTES)
        self._is_copied = False
        for line in header.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-type":
                return value.partition(";")[0].strip().lower()
        return ""

    def copy(self, write: Callable[[bytes], object], most_bytes: int) -> None:
        """Raises MultipartError where the part is longer, or breaks off."""
        self._copy_until(self._delimiter, write, most_bytes)
        self._is_copied = True

    def _copy_until(self, mark: bytes, write: Callable[[bytes], object], most_bytes: int) -> None:
        copied = 0
        while (end := self._held.find(mark)) < 0:
            ready = max(0, len(self._held) - len(mark) + 1)  # the rest may be the beginning of the mark
            copied += ready
            if copied > most_bytes:
                raise MultipartError("a part or header is longer than agreed")
            write(bytes(self._held[:ready]))
            del self._held[:ready]
            self._fill()
        if copied + end > most_bytes:
            raise MultipartError("a part or header is longer than agreed")
        write(bytes(self._held[:end]))
        del self._held[: end + len(mark)]

    def _fill(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise MultipartBrokeOff("the message breaks off")
        self._held += chunk


def _nowhere(_content: bytes) -> None:
    """What stands before the first part is nobody's."""
