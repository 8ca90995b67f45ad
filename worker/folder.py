"""Results as files, for whatever watches a folder: ``STUDY/SERIES/SOP.dcm``."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from core.destinations import FolderDestination
from core.records import DeliveryJob
from core.spool import Spool
from dicom.headers import canonical_uid, text
from worker.answers import Answer, Refused, Sent, Unavailable, in_turn

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP)  # some network file systems


def deliver(
    deliveries: Sequence[DeliveryJob], destination: FolderDestination, spool: Spool
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Write each in order and yield its answer before the next is written."""
    return in_turn(deliveries, lambda delivery: _store(spool.read(delivery.spool_name), destination.path))


def _store(content: bytes, root: Path) -> Answer:
    # Not made here: below the mount point of a share that is not mounted, files would seem delivered.
    if not root.is_dir():
        raise Unavailable("no_folder")
    target = _path(content, root)
    if target is None:
        return Refused("invalid_uid", permanent=True)
    try:
        if target.exists():
            same = target.stat().st_size == len(content) and target.read_bytes() == content
            return Sent(0, confirmed=True) if same else Refused("other_content", permanent=True)
        _write(content, target)
    except OSError as exc:
        raise Unavailable("no_space" if exc.errno in _FULL else "not_writable") from exc
    return Sent(0, confirmed=True)


def _path(content: bytes, root: Path) -> Path | None:
    """None where a UID is none, and has no business in a path."""
    header = dcmread(BytesIO(content), stop_before_pixels=True)
    study, series, instance = (
        canonical_uid(text(header, keyword)) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    if study is None or series is None or instance is None:
        return None
    return root / study / series / f"{instance}.dcm"


def _write(content: bytes, target: Path) -> None:
    """On return the file is on the disk under its name; before, nobody sees part of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    for folder in target.parents[:3]:
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(descriptor)
