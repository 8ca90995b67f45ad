"""A running listener with everything it stands on, and small radiographs to send to it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from audit import schema
from audit.models import AuditEvent, Instance, Job
from audit.session import Database
from core.broker import WorkQueue
from core.settings import ListenerSettings, Settings, Source
from core.spool import Spool
from pacs_listener.server import Listener, build_server
from tests.services import free_port

CALLER = "MODALITY1"
MARKER_NAME = "Zyxwvut^Marker"
MARKER_ID = "PID-QQ7731"

_SOURCES = (Source(name="room 1", ae_titles=(CALLER, "MODALITY2"), issuer_of_patient_id="HOSPITAL"),)


def radiograph(*, pixels: int = 64, **attributes: Any) -> Dataset:
    """A DX that is complete enough to be received; ``attributes`` replace its own, None removes."""
    uid = str(generate_uid(prefix=None))
    dx = Dataset()
    dx.SOPClassUID, dx.SOPInstanceUID = DigitalXRayImageStorageForPresentation, uid
    dx.StudyDate, dx.AccessionNumber, dx.Modality = "20260102", "ACC1", "DX"
    dx.PatientName, dx.PatientID = MARKER_NAME, MARKER_ID
    dx.StudyInstanceUID, dx.SeriesInstanceUID = f"{uid[:40]}.1", f"{uid[:40]}.2"
    dx.Rows = dx.Columns = pixels
    dx.SamplesPerPixel, dx.PhotometricInterpretation = 1, "MONOCHROME2"
    dx.BitsAllocated = dx.BitsStored = 8
    dx.HighBit, dx.PixelRepresentation = 7, 0
    dx.PixelData = hashlib.shake_256(uid.encode()).digest(pixels * pixels)
    for keyword, value in attributes.items():
        if value is None:
            del dx[keyword]
        else:
            setattr(dx, keyword, value)
    dx.file_meta = FileMetaDataset()
    dx.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dx.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dx.file_meta.MediaStorageSOPInstanceUID = dx.get("SOPInstanceUID", uid)
    return dx


def write(dataset: Dataset, path: Path, *, command_uid: str = "", command_class: str = "", body: bytes = b"") -> Path:
    """A file whose file meta information, from which pynetdicom makes the command set, may differ from its data set."""
    encoded = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    meta = copy(dataset.file_meta)
    meta.MediaStorageSOPInstanceUID = command_uid or meta.MediaStorageSOPInstanceUID
    meta.MediaStorageSOPClassUID = command_class or meta.MediaStorageSOPClassUID
    meta.ImplementationClassUID = "1.2.3"
    with path.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(file, meta)
        file.write(body or encoded)
    return path


def data_set_of(path: Path) -> bytes:
    """What follows the file meta information."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


class WatchingWaker:
    """Stands in for the waker we own, and looks at the books and the spool in the moment it is called."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database, self._spool = database, spool
        self.woken: list[tuple[WorkQueue, int]] = []
        self.spooled: list[str] = []

    def wake(self, work_queue: WorkQueue, row_id: int) -> None:
        with self._database.read() as session:
            job = session.get_one(Job, row_id)
            with self._spool.open(job.instance.spool_name):
                self.spooled.append(job.instance.spool_name)
        self.woken.append((work_queue, row_id))


@dataclass
class Room:
    settings: Settings
    database: Database
    spool: Spool
    waker: WatchingWaker
    listener: Listener

    @property
    def port(self) -> int:
        return self.settings.listener.port

    @property
    def spool_root(self) -> Path:
        root = self.spool.local_root
        assert root is not None
        return root

    def instances(self) -> list[Instance]:
        with self.database.read() as session:
            return list(session.query(Instance).order_by(Instance.id))

    def events(self, kind: str) -> list[AuditEvent]:
        """Waits for the first: a refusal is answered before it is recorded."""
        deadline = time.monotonic() + 5
        while True:
            with self.database.read() as session:
                events = list(session.query(AuditEvent).filter_by(kind=kind).order_by(AuditEvent.id))
            if events or time.monotonic() > deadline:
                return events
            time.sleep(0.02)

    def files(self) -> list[str]:
        """Everything in the spool, as names."""
        return sorted(str(path.relative_to(self.spool_root)) for path in self.spool_root.rglob("*") if path.is_file())

    @contextmanager
    def association(
        self,
        calling: str = CALLER,
        called: str = "PNEUMO",
        classes: tuple[str, ...] = (DigitalXRayImageStorageForPresentation, "1.2.840.10008.1.1"),
    ) -> Iterator[Association]:
        association = associate(self.port, calling, called, classes)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()
            close(association)


def associate(port: int, calling: str, called: str, classes: tuple[str, ...], **more: Any) -> Association:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 10
    for sop_class_uid in classes:
        ae.add_requested_context(sop_class_uid, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title=called, **more)
    # As in cli.sending: on a busy machine pynetdicom's own thread takes an answer now and then.
    take = association.dimse.get_msg
    association.dimse.get_msg = lambda block=False: take(block) if block else (None, None)
    return association


def close(association: Association) -> None:
    """pynetdicom leaves a connection open that it cannot shut down, such as one its peer has dropped."""
    transport = association.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.close()


@contextmanager
def running(
    home: Path, database_url: str = "", sources: tuple[Source, ...] | None = None, **listener: Any
) -> Iterator[Room]:
    settings = Settings(
        home=home,
        database_url=database_url,
        sources=_SOURCES if sources is None else sources,
        listener=ListenerSettings(**{"port": free_port(), "disk_reserve_bytes": 0, **listener}),
    )
    database, spool = Database(settings.database), Spool(settings.spool)
    schema.upgrade(database)
    waker = WatchingWaker(database, spool)
    server = build_server(settings, database, spool, waker)
    server.start()
    try:
        yield Room(settings, database, spool, waker, server)
    finally:
        server.shutdown()
        database.close()
