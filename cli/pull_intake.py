"""Pulled objects take the listener's road: checked, spooled, booked, queued, refused with a trace."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from audit.intake import Receipt
from audit.journal import Journal
from audit.session import Database
from core.broker import Waker, celery_app
from core.destinations import DICOMArchive, DICOMwebArchive
from core.errors import FailedForGood
from core.file_header import canonical_uid
from core.logs import describe, get_logger
from core.records import ReceivedInstance
from core.settings import Settings
from core.spool import Spool
from pacs_listener import statuses
from pacs_listener.admission import STORAGE_CLASSES
from pacs_listener.handlers import DiskReserve
from pacs_listener.incoming import digest, read_header, sweep
from pacs_listener.reception import Reception
from worker.archive import Arrived, is_readable

log = get_logger("pull")

_FORGOTTEN_SECONDS = 24 * 3600.0


class PullIntake:
    """``folder`` is where files arrive: on the spool's volume, so that taking one over is a rename."""

    def __init__(
        self,
        *,
        settings: Settings,
        archive: DICOMArchive | DICOMwebArchive,
        database: Database,
        spool: Spool,
        waker: Waker,
        folder: Path,
    ) -> None:
        self.folder = folder
        self.study_instance_uid = ""
        """Of the study being retrieved: an object of another one was not asked for."""
        self._reception = Reception(database, spool, waker, folder)
        self._journal = Journal(database, "listener")
        self._disk = DiskReserve(spool, folder, settings.listener.disk_reserve_bytes)
        self._called_ae_title = settings.listener.ae_title
        self._source = archive.name
        self._ae_title = archive.ae_title if isinstance(archive, DICOMArchive) else "DICOMWEB"
        self._address = _host(archive)[:45]
        senders = (source for source in settings.sources if self._ae_title in source.ae_titles)
        self._issuer_of_patient_id = next((source.issuer_of_patient_id for source in senders), "")

    def has_room(self) -> bool:
        return self._disk.has_room()

    def clear(self) -> None:
        """Between studies: what an archive began and never ended."""
        sweep(self.folder)

    def store(self, arrived: Arrived) -> int:
        """A status of C-STORE; the pull outlives every object, its database and its disk."""
        uid = canonical_uid(arrived.sop_instance_uid) or ""
        try:
            return self._store(arrived, uid)
        except Exception as exc:  # noqa: BLE001 - one object fails with a status, and the study with a code
            log.error("store_failed", sop_instance_uid=uid, source=self._source, **describe(exc))
            return statuses.PROCESSING_FAILURE

    def _store(self, arrived: Arrived, uid: str) -> int:
        if not self._disk.has_room():
            return self._refuse(statuses.OUT_OF_RESOURCES, "disk_reserve_reached", uid)
        if arrived.sop_class_uid not in STORAGE_CLASSES:
            return self._refuse(statuses.DATA_SET_DOES_NOT_MATCH, "sop_class_not_accepted", uid)
        if not is_readable(arrived.transfer_syntax_uid):
            return self._refuse(statuses.CANNOT_UNDERSTAND, "transfer_syntax_not_accepted", uid)
        try:
            header = read_header(arrived.path)
        except FailedForGood as exc:
            return self._refuse(statuses.CANNOT_UNDERSTAND, exc.code, uid)
        if (header.sop_class_uid, header.sop_instance_uid) != (arrived.sop_class_uid, uid):
            return self._refuse(statuses.DATA_SET_DOES_NOT_MATCH, "uid_differs_from_command", uid)
        if header.study_instance_uid != self.study_instance_uid:
            return self._refuse(statuses.DATA_SET_DOES_NOT_MATCH, "study_not_asked_for", uid)
        sha256, size_bytes = digest(arrived.path)
        about = ReceivedInstance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            transfer_syntax_uid=arrived.transfer_syntax_uid,
            modality=header.modality,
            patient_id=header.patient_id,
            issuer_of_patient_id=header.issuer_of_patient_id or self._issuer_of_patient_id,
            accession_number=header.accession_number,
            study_date=header.study_date,
            calling_ae_title=self._ae_title,
            called_ae_title=self._called_ae_title,
            peer_address=self._address,
            source=self._source,
            spool_name="",
            sha256=sha256,
            size_bytes=size_bytes,
        )
        receipt, _ = self._reception.take_in(arrived.path, about)
        return statuses.KEPT_ASIDE if receipt is Receipt.CONFLICT else statuses.SUCCESS

    def _refuse(self, status: int, code: str, uid: str) -> int:
        which = "" if status == statuses.OUT_OF_RESOURCES else uid
        self._journal.refusal(
            "instance.refused",
            same=(code, self._ae_title, which),
            subject=uid,
            actor=self._ae_title,
            status=f"0x{status:04X}",
            code=code,
            source=self._source,
        )
        return status


@contextmanager
def open_intake(
    settings: Settings, archive: DICOMArchive | DICOMwebArchive, database: Database
) -> Iterator[PullIntake]:
    """Arriving files have a folder of this process's own: the listener clears only its own one."""
    spool = Spool(settings.spool)
    folder = (spool.local_root or settings.home.absolute()) / "pulling"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _clear_forgotten(folder)
    waker = Waker(celery_app(settings))
    try:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            yield PullIntake(
                settings=settings, archive=archive, database=database, spool=spool, waker=waker, folder=Path(own)
            )
    finally:
        waker.close()


def _clear_forgotten(folder: Path) -> None:
    """What pulls that were killed left behind."""
    for left in folder.iterdir():
        if time.time() - left.stat().st_mtime >= _FORGOTTEN_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _host(archive: DICOMArchive | DICOMwebArchive) -> str:
    if isinstance(archive, DICOMArchive):
        return archive.host
    return urlsplit(archive.url).hostname or ""
