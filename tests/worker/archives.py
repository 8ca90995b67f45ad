"""Real archives on loopback, filled with a few small studies: DCMTK's dcmqrscp, and Orthanc with DICOMweb."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, DigitalXRayImageStorageForPresentation

from tests.pacs_listener.room import radiograph, write
from tests.services import free_port, missing, require_program
from tests.system.orthanc import Orthanc

_CLASSES = {"CR": ComputedRadiographyImageStorage, "CT": CTImageStorage}
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
STUDIES = {"1.2.3.1": 2, "1.2.3.2": 1, "1.2.3.3": 1}
"""Chest radiographs of each study, by age; there is a CT series in the first one."""


def studies(folder: Path) -> dict[str, Path]:
    """Files by SOP Instance UID: March 1st at noon (DX and CT), in the evening (CR), March 4th (DX), and April."""
    folder.mkdir(parents=True)
    images = [
        _image("1.2.3.1", "1", "20250301", StudyTime="120000"),
        _image("1.2.3.1", "2", "20250301", StudyTime="120000"),
        _image("1.2.3.1", "3", "20250301", StudyTime="120000", Modality="CT"),
        _image("1.2.3.2", "1", "20250301", StudyTime="210000", Modality="CR"),
        _image("1.2.3.3", "1", "20250304", StudyTime="080000"),
        _image("1.2.3.4", "1", "20250401", StudyTime="080000"),
    ]
    return {
        str(image.SOPInstanceUID): write(
            image, folder / f"{number}.dcm", command_uid=image.SOPInstanceUID, command_class=image.SOPClassUID
        )
        for number, image in enumerate(images)
    }


def _image(study: str, number: str, day: str, **attributes: str) -> Dataset:
    attributes["SOPClassUID"] = _CLASSES.get(attributes.get("Modality", "DX"), DigitalXRayImageStorageForPresentation)
    series = f"{study}.{7 if attributes.get('Modality') == 'CT' else 1}"
    return radiograph(
        SOPInstanceUID=f"{study}.1.{number}", StudyInstanceUID=study, SeriesInstanceUID=series, StudyDate=day,
        PatientID=f"P{study[-1]}", PatientName="Test^Archive", StudyID="1", SeriesNumber="1", InstanceNumber=number,
        AccessionNumber="A1", **attributes,
    )  # fmt: skip


@dataclass
class QueryRetrieveSCP:
    port: int
    storage: Path
    ae_title: str = "QR"

    def lose(self, sop_instance_uid: str) -> Path:
        """Take the file of an instance away while the index still has it."""
        (file,) = (path for path in self.storage.glob("*.dcm") if sop_instance_uid.encode() in path.read_bytes()[:4096])
        return file.rename(file.with_suffix(".lost"))


@contextmanager
def dcmqrscp(folder: Path, listener_port: int) -> Iterator[QueryRetrieveSCP]:
    program, index = require_program("dcmqrscp"), require_program("dcmqridx")
    storage = folder / "archive"
    files = studies(storage)
    subprocess.run([index, str(storage), *map(str, files.values())], check=True, capture_output=True, timeout=30)
    port = free_port()
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nus = (PNEUMO, 127.0.0.1, {listener_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {storage} RW (200, 1024mb) ANY\nAETable END\n"
    )
    # DCMTK leaves Nagle's algorithm on, which costs 40 ms per object.
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with (folder / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-c", str(folder / "dcmqrscp.cfg")], stdout=log, stderr=log, env=environment
        )
    try:
        _wait_for(port)
        yield QueryRetrieveSCP(port, storage)
    finally:
        process.terminate()
        process.wait(10)


class _ShortLived(Orthanc):
    def stop(self) -> None:
        """Without the three seconds it takes to tidy up what nobody reads again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None


@contextmanager
def orthanc_with_dicomweb(folder: Path) -> Iterator[str]:
    """Yields the URL of its DICOMweb root."""
    if not _PLUGIN.is_file():
        missing("Orthanc's DICOMweb plugin is not installed")
    orthanc = _ShortLived(folder / "orthanc")
    file = folder / "orthanc" / "orthanc.json"
    configuration = json.loads(file.read_text())
    configuration |= {"Plugins": [str(_PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    file.write_text(json.dumps(configuration))
    orthanc.start()
    try:
        subprocess.run(
            [require_program("storescu"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port),
             *map(str, studies(folder / "files").values())],
            check=True, capture_output=True, timeout=30, env={**os.environ, "TCP_NODELAY": "1"},
        )  # fmt: skip
        yield f"http://{orthanc.host}:{configuration['HttpPort']}/dicom-web"
    finally:
        orthanc.stop()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
