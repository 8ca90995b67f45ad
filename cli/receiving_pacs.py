"""The small PACS at the end of the demo: a storage SCP on loopback that keeps what comes back, and counts it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from core.records import ResultKind
from core.transfer_syntaxes import READABLE

_KINDS = {
    SecondaryCaptureImageStorage: ResultKind.SECONDARY_CAPTURE,
    ComprehensiveSRStorage: ResultKind.REPORT,
}
_VERIFICATION = "1.2.840.10008.1.1"
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 B.2.3


@dataclass(frozen=True, slots=True)
class ReceivedObject:
    """One SOP Instance, however often it came."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    source_sop_instance_uids: tuple[str, ...]
    """What it was made from: Source Image Sequence of a Secondary Capture, evidence of a report."""
    path: Path
    received_at: datetime
    """Of the first time, UTC."""
    times_received: int = 1


class ReceivingPACS:
    """Answers any caller under any called AE title; the first object with a SOP Instance UID is the one kept."""

    def __init__(self, folder: Path, ae_title: str = "DEMO-PACS") -> None:
        self._folder = folder
        self._received: dict[str, ReceivedObject] = {}
        self._lock = threading.Lock()
        self._server: ThreadedAssociationServer | None = None
        self._ae = AE(ae_title)
        self._ae.maximum_pdu_size = 131072  # bytes; the default of 16 KiB halves the throughput
        self._ae.add_supported_context(_VERIFICATION)
        for sop_class_uid in _KINDS:
            self._ae.add_supported_context(sop_class_uid, list(READABLE))

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the receiving PACS has a port from start() to stop(), and it is not started")
        return int(self._server.server_address[1])

    def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1, on a free port when ``port`` is 0."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._server = self._ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def stop(self) -> None:
        """What was received stays; a second call does nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def received(self) -> list[ReceivedObject]:
        """In the order of arrival."""
        with self._lock:
            return list(self._received.values())

    def _store(self, event: evt.Event) -> int:
        try:
            content = event.encoded_dataset()
            header = dcmread(BytesIO(content), stop_before_pixels=True)
            sop_instance_uid = str(header.SOPInstanceUID)
            arrived = ReceivedObject(
                kind=_KINDS[header.SOPClassUID],
                sop_class_uid=str(header.SOPClassUID),
                sop_instance_uid=sop_instance_uid,
                study_instance_uid=str(header.StudyInstanceUID),
                source_sop_instance_uids=tuple(_sources(header)),
                path=self._folder / f"{uuid.uuid4().hex}.dcm",
                received_at=datetime.now(UTC),
            )
        except Exception:  # noqa: BLE001 - pydicom raises whatever a broken data set makes it stumble over
            return _CANNOT_UNDERSTAND
        with self._lock:
            known = self._received.get(sop_instance_uid)
            if known is None:
                try:
                    arrived.path.write_bytes(content)
                except OSError:
                    return _OUT_OF_RESOURCES
                self._received[sop_instance_uid] = arrived
            else:
                self._received[sop_instance_uid] = replace(known, times_received=known.times_received + 1)
        return _SUCCESS


def _sources(header: Dataset) -> Iterator[str]:
    for image in header.get("SourceImageSequence", ()):  # PS3.3 C.7.6.1.1.4
        yield str(image.ReferencedSOPInstanceUID)
    for study in header.get("CurrentRequestedProcedureEvidenceSequence", ()):  # PS3.3 C.17.2.3
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                yield str(instance.ReferencedSOPInstanceUID)
