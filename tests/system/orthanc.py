"""A real Orthanc as the PACS of a test."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.services import free_port, require_program

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


class Orthanc:
    def __init__(self, folder: Path) -> None:
        self.ae_title, self.host, self.port = "ORTHANC", "127.0.0.1", free_port()
        self._http_port = free_port()
        self._program = require_program("Orthanc")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(
            json.dumps(
                {
                    "Name": "test PACS",
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "storage"),
                    "DicomAet": self.ae_title,
                    "DicomPort": self.port,
                    "HttpPort": self._http_port,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "Plugins": [],
                }
            )
        )

    def start(self) -> None:
        # DCMTK leaves Nagle's algorithm on, which costs 40 ms per object.
        environment = {**os.environ, "TCP_NODELAY": "1"}
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, str(self._configuration)], stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.get("/system")
                return
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def get(self, path: str) -> Any:
        with _DIRECTLY.open(f"http://127.0.0.1:{self._http_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def file(self, instance: str) -> bytes:
        url = f"http://127.0.0.1:{self._http_port}/instances/{instance}/file"
        with _DIRECTLY.open(url, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def instances(self) -> list[dict[str, Any]]:
        """SOP class, SOP Instance UID, Study Instance UID and Orthanc's identifier of everything stored."""
        found = []
        for instance in self.get("/instances"):
            tags = self.get(f"/instances/{instance}/simplified-tags")
            found.append({
                "id": instance,
                "sop_class_uid": tags["SOPClassUID"],
                "sop_instance_uid": tags["SOPInstanceUID"],
                "study_instance_uid": tags["StudyInstanceUID"],
                "tags": tags,
            })  # fmt: skip
        return found
