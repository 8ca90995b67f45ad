"""A PACS on loopback that answers as it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from core.destinations import DICOMDestination
from core.records import DeliveryJob
from core.spool import Spool

Answer = Callable[[evt.Event], int]


def stored(
    spool: Spool, number: int = 1, sop_class_uid: str = SecondaryCaptureImageStorage, **attributes: str
) -> DeliveryJob:
    """A small object at rest in the spool and due at ``pacs``."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = "Test^Patient", "TEST-1"
    dataset.update(attributes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return due(
        file.getvalue(), spool, number, sop_class_uid=str(sop_class_uid), sop_instance_uid=str(dataset.SOPInstanceUID)
    )


def due(content: bytes, spool: Spool, number: int = 1, *, sop_class_uid: str, sop_instance_uid: str) -> DeliveryJob:
    return DeliveryJob(
        id=number,
        token="t",  # noqa: S106 - a fencing token
        attempts=1,
        destination="pacs",
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        spool_name=spool.write(content, "results"),
        age_seconds=0,
    )


def status(code: int) -> Answer:
    return lambda _event: code


def abort(event: evt.Event) -> int:
    event.assoc.abort()
    return 0x0000


def silence(_event: evt.Event) -> int:
    time.sleep(5)
    return 0x0000


@dataclass
class FakePACS:
    destination: DICOMDestination
    stored: list[bytes] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=list)
    associations: int = 0


@contextmanager
def pacs(
    answer: Answer,
    *,
    accepts_reports: bool = True,
    called_ae_title: str = "PACS",
    syntaxes: Sequence[str] = DEFAULT_TRANSFER_SYNTAXES,
) -> Iterator[FakePACS]:
    ae = AE(ae_title="PACS")
    ae.require_called_aet = True
    ae.add_supported_context(SecondaryCaptureImageStorage, list(syntaxes))
    if accepts_reports:
        ae.add_supported_context(ComprehensiveSRStorage, list(syntaxes))

    def store(event: evt.Event) -> int:
        fake.stored.append(event.request.DataSet.getvalue())
        fake.syntaxes.append(event.context.transfer_syntax)
        return answer(event)

    def accepted(_event: evt.Event) -> None:
        fake.associations += 1

    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accepted)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.server_address[1]
    fake = FakePACS(
        DICOMDestination(name="pacs", ae_title=called_ae_title, host="127.0.0.1", port=port, timeout_seconds=5)
    )
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
