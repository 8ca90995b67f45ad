"""A real Orthanc as the PACS of a test."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services import free_port, missing, require_program

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PLUGINS = Path("/usr/share/orthanc/plugins")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
DICOMWEB, WEB_VIEWER = "orthanc-dicomweb", "orthanc-webviewer"
_LIBRARIES = {DICOMWEB: "libOrthancDicomWeb.so", WEB_VIEWER: "libOrthancWebViewer.so"}


class Orthanc:
    """``plugins`` by the names of their packages; ``settings`` are Orthanc's own, beside or instead of ours."""

    def __init__(self, folder: Path, *, plugins: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> None:
        self.ae_title, self.host, self.port = "ORTHANC", "127.0.0.1", free_port()
        self._http_port = free_port()
        self._program = require_program("Orthanc")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._configuration = folder / "orthanc.json"
        configured: dict[str, Any] = {
            "Name": "test PACS",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [_library(plugin) for plugin in plugins],
            **(settings or {}),
        }
        self._users: dict[str, str] = configured.get("RegisteredUsers", {})
        self._configuration.write_text(json.dumps(configured))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

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
        return json.loads(self._ask(path))

    def file(self, instance: str) -> bytes:
        return self._ask(f"/instances/{instance}/file")

    def store(self, content: bytes) -> str:
        """Over Orthanc's own interface; returns its identifier of the instance's series."""
        return str(json.loads(self._ask("/instances", "POST", content))["ParentSeries"])

    def forget(self) -> None:
        """All it stores."""
        for patient in self.get("/patients"):
            self._ask(f"/patients/{patient}", "DELETE")

    def _ask(self, path: str, method: str = "GET", content: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, content, method=method)  # noqa: S310 - to ourselves
        for user in self._users.items():
            request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(user).encode()).decode()}")
        with _DIRECTLY.open(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body

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


def _library(plugin: str) -> str:
    path = _PLUGINS / _LIBRARIES[plugin]
    if not path.exists():
        missing(f"Orthanc's plugin {plugin} is not installed")
    return str(path)
