"""Received instances and finished results at rest, on any fsspec URL.

A file appears under its final name only when it is whole: written under a temporary name, synced, renamed. Names are
ours (``received/ab/abcd....dcm``); nothing from a data set is ever part of one.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO, Literal, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

Shelf = Literal["received", "kept_aside", "results", "pictures"]


class Spool:
    """One folder tree of instances. Safe to use from several threads and processes."""

    def __init__(self, url: str) -> None:
        self._filesystem, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._local = isinstance(self._filesystem, LocalFileSystem)
        if self._local:
            Path(self._root).mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def local_root(self) -> Path | None:
        """The folder when the spool is on this machine's file system, else None."""
        return Path(self._root) if self._local else None

    def adopt(self, path: Path, shelf: Shelf) -> str:
        """Take over a finished local file and return its name here. On return it is on the disk, whatever happens next.

        Raises:
            OSError: the file system refused; ``path`` is still where it was.
        """
        name = _new_name(shelf)
        if not self._local:
            self._upload(path, name)
            path.unlink()
            return name
        target = Path(self._root, name)
        self._make_folder(target.parent)
        _sync(path)
        try:
            path.replace(target)
        except OSError as exc:
            if exc.errno != 18:  # EXDEV: another volume
                raise
            partial = target.with_suffix(".part")
            shutil.copyfile(path, partial)
            _sync(partial)
            partial.replace(target)
            path.unlink()
        _sync(target.parent)
        return name

    def write(self, content: bytes, shelf: Shelf, suffix: str = ".dcm") -> str:
        """Store bytes under a new name, as durably as ``adopt``."""
        name = _new_name(shelf, suffix)
        if not self._local:
            self._filesystem.pipe_file(f"{self._root}/{name}", content)  # object stores put whole objects
            return name
        target = Path(self._root, name)
        self._make_folder(target.parent)
        partial = target.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        _sync(target.parent)
        return name

    def open(self, name: str) -> BinaryIO:
        return cast("BinaryIO", self._filesystem.open(f"{self._root}/{name}", "rb"))

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def release(self, name: str) -> None:
        """Delete a file that no row names; one that is gone already is no error."""
        if self._filesystem.exists(f"{self._root}/{name}"):
            self._filesystem.rm_file(f"{self._root}/{name}")

    def free_bytes(self) -> int | None:
        """Free space of the volume, or None where the store has no such limit."""
        return shutil.disk_usage(self._root).free if self._local else None

    def probe(self) -> None:
        """Raises OSError where nothing can be written."""
        self.release(self.write(b"probe", "received"))

    def _make_folder(self, folder: Path) -> None:
        """A new folder's name lies in its parent, which is synced as well: a power cut must not take the file's way."""
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync(folder.parent)
        _sync(Path(self._root))

    def _upload(self, path: Path, name: str) -> None:
        self._filesystem.makedirs(f"{self._root}/{name.rsplit('/', 1)[0]}", exist_ok=True)
        self._filesystem.put_file(str(path), f"{self._root}/{name}")


def _new_name(shelf: Shelf, suffix: str = ".dcm") -> str:
    identity = uuid.uuid4().hex
    return f"{shelf}/{identity[:2]}/{identity}{suffix}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
