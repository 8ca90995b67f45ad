"""An Orthanc that knows our AE title: it finds, commits to what it stores, and asks us to commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request

from tests.system import orthanc


class CommittingOrthanc(orthanc.Orthanc):
    """``our_port`` is where PNEUMO listens."""

    def __init__(self, folder: Path, our_port: int) -> None:
        ours = {
            "AET": "PNEUMO", "Host": "127.0.0.1", "Port": our_port,
            "AllowFind": True, "AllowStore": True, "AllowEcho": True, "AllowStorageCommitment": True,
        }  # fmt: skip
        super().__init__(folder, plugins=[orthanc.DICOMWEB], settings={"DicomModalities": {"pneumo": ours}})

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def ask_for_commitment(self, references: list[tuple[str, str]]) -> str:
        """Returns the transaction."""
        items = [{"SOPClassUID": sop_class, "SOPInstanceUID": sop_instance} for sop_class, sop_instance in references]
        body = json.dumps({"DicomInstances": items}).encode()
        url = f"{self.url}/modalities/pneumo/storage-commitment"
        with orthanc._DIRECTLY.open(Request(url, body, method="POST"), timeout=10) as answer:  # noqa: S310 - our loopback
            return str(json.load(answer)["ID"])

    def commitment(self, transaction: str) -> Any:
        return self.get(f"/storage-commitment/{transaction}")


@contextmanager
def committing_orthanc(folder: Path, our_port: int) -> Iterator[CommittingOrthanc]:
    server = CommittingOrthanc(folder, our_port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
