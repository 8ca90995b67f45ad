"""A service on embedded parts, a modality and a receiving PACS, all on this machine's loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import dcmread
from pydicom.misc import is_dicom
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.database import operator
from cli.receiving_pacs import ReceivedObject, ReceivingPACS
from core.errors import PneumoError
from core.records import ResultKind
from core.scopes import Scope

_MODALITY, _SERVICE, _PACS = "DEMO-MODALITY", "PNEUMO", "DEMO-PACS"
_PICTURES = {".jpg", ".jpeg", ".png"}
_READY_SECONDS, _RESULT_SECONDS, _SECONDS_PER_IMAGE = 180.0, 120.0, 10.0

# A hospital's proxy has no way to this machine's loopback.
_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_CONFIGURATION = """\
# Written by `pneumo demo`.
log_format = "text"

[listener]
ae_title = "{service}"
port = {listener_port}
disk_reserve_bytes = 0

[api]
port = {api_port}

[worker]
study_idle_seconds = 1
sweep_seconds = 0.5

[[sources]]
name = "demo modality"
ae_titles = ["{modality}"]

[[destinations]]
name = "demo PACS"
ae_title = "{pacs}"
host = "127.0.0.1"
port = {pacs_port}
"""


class DemoFailed(PneumoError):
    """The message says at which step, and where the log lies."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A radiograph as the modality sends it."""

    path: Path
    patient_id: str
    study_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of one radiograph, as the API and the receiving PACS tell it."""

    pushed: Pushed
    prediction: Mapping[str, Any] | None
    results: tuple[ReceivedObject, ...]

    @property
    def received(self) -> Counter[ResultKind]:
        return Counter(result.kind for result in self.results)

    @property
    def seconds(self) -> float | None:
        """From the end of the C-STORE to the arrival of the report in the PACS."""
        arrivals = [result.received_at for result in self.results if result.kind is ResultKind.REPORT]
        if self.prediction is None or not arrivals:
            return None
        return (max(arrivals) - datetime.fromisoformat(self.prediction["received_at"])).total_seconds()

    @property
    def complete(self) -> bool:
        """An outcome, exactly one report, and exactly one Secondary Capture where the model judged."""
        if self.prediction is None:
            return False
        judged = self.prediction["outcome"] in ("positive", "negative")
        expected = {ResultKind.REPORT: 1} | ({ResultKind.SECONDARY_CAPTURE: 1} if judged else {})
        return self.received == Counter(expected)


class Demo:
    """Use as a context manager; whatever happens, nothing is left running."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
        self.folder.mkdir(parents=True)
        self.log_path = self.folder / "service.log"
        self._console = console
        self._pacs = ReceivingPACS(self.folder / "pacs", ae_title=_PACS)
        self._listener_port, self._api_port = _free_port(), _free_port()
        self._service: subprocess.Popen[bytes] | None = None
        self.api_url, self.api_key = f"http://127.0.0.1:{self._api_port}", ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._service is not None:
            self._service.terminate()
            try:
                self._service.wait(60)
            except subprocess.TimeoutExpired:
                self._service.kill()
        self._pacs.stop()

    def prepare(self, data: Path | None) -> list[Pushed]:
        """Lay out the DICOM files to send: the given ones, or the synthetic samples."""
        from cli.demo_samples import wrap_picture, write_samples

        outbox = self.folder / "modality"
        outbox.mkdir()
        if data is None:
            paths = write_samples(outbox)
        else:
            files = [data] if data.is_file() else sorted(path for path in data.rglob("*") if path.is_file())
            pictures = [path for path in files if path.suffix.lower() in _PICTURES]
            paths = [path for path in files if path not in pictures and is_dicom(path)]
            paths += [wrap_picture(path, outbox, number) for number, path in enumerate(pictures, start=1)]
            if not paths:
                raise DemoFailed(f"{data} holds no DICOM, JPEG or PNG file")
        return [_describe(path) for path in paths]

    def start(self) -> None:
        """Let everything start; it takes a while, which ``wait_ready`` waits out."""
        self._pacs.start()
        home = self.folder.absolute() / "home"
        configuration = self.folder / "pneumo.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                service=_SERVICE, modality=_MODALITY, pacs=_PACS,
                listener_port=self._listener_port, api_port=self._api_port, pacs_port=self._pacs.port,
            )
        )  # fmt: skip
        self.api_key = _key_of_new_database(f"sqlite:///{home}/pneumo.db")
        environment = {
            **{name: value for name, value in os.environ.items() if _may_pass(name)},
            "PNEUMO_CONFIG": str(configuration.absolute()),
            "PNEUMO_HOME": str(home),
        }
        with self.log_path.open("ab") as log:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "up"],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Until the model is loaded and everything answers."""
        deadline = time.monotonic() + _READY_SECONDS
        with self._console.status("Starting listener, queue, worker, model and API ..."):
            while not self._is_ready():
                if self._service is None or self._service.poll() is not None or time.monotonic() > deadline:
                    raise DemoFailed(f"the service did not come up; see {self.log_path}")
                time.sleep(0.3)

    def _is_ready(self) -> bool:
        try:
            self._ask("/health/ready")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def push(self, radiographs: list[Pushed]) -> None:
        """C-STORE each to the listener over one association."""
        from cli.network_commands import Target, store_files

        with self._progress() as progress:
            bar = progress.add_task("Pushed by C-STORE", total=len(radiographs))
            answers = store_files(
                [radiograph.path for radiograph in radiographs],
                Target(_SERVICE, "127.0.0.1", self._listener_port),
                _MODALITY,
                lambda *_: progress.advance(bar),
            )
        refused = [answer for answer in answers if answer.status != 0]
        if refused:
            raise DemoFailed(f"{len(refused)} of {len(answers)} images were not accepted; see {self.log_path}")

    def wait(self, radiographs: list[Pushed]) -> list[Journey]:
        """Until every image has its outcome and its results lie in the PACS, or time is up."""
        deadline = time.monotonic() + _RESULT_SECONDS + _SECONDS_PER_IMAGE * len(radiographs)
        with self._progress() as progress:
            judged = progress.add_task("Outcomes in the audit log", total=len(radiographs))
            back = progress.add_task("Complete in the PACS", total=len(radiographs))
            while True:
                journeys = self._journeys(radiographs)
                progress.update(judged, completed=sum(journey.prediction is not None for journey in journeys))
                progress.update(back, completed=sum(journey.complete for journey in journeys))
                if all(journey.complete for journey in journeys) or time.monotonic() > deadline:
                    return journeys
                time.sleep(0.25)

    def write_overlays(self, journeys: list[Journey]) -> Path:
        """The Secondary Captures that came back, as PNG too; numbered as the radiographs were sent."""
        from PIL import Image

        folder = self.folder / "overlays"
        folder.mkdir()
        for number, journey in enumerate(journeys, start=1):
            for result in journey.results:
                if result.kind is ResultKind.SECONDARY_CAPTURE and journey.prediction is not None:
                    picture = dcmread(result.path).pixel_array
                    Image.fromarray(picture).save(folder / f"{number:02}-{journey.prediction['outcome']}.png")
        return folder

    @property
    def pacs_folder(self) -> Path:
        return self.folder / "pacs"

    def wait_for_interrupt(self) -> None:
        try:
            signal.pause()
        except KeyboardInterrupt:
            self._console.print("Stopping ...")

    def _journeys(self, radiographs: list[Pushed]) -> list[Journey]:
        predictions = {row["sop_instance_uid"]: row for row in self._predictions()}
        received = self._pacs.received()
        return [
            Journey(
                radiograph,
                predictions.get(radiograph.sop_instance_uid),
                tuple(result for result in received if radiograph.sop_instance_uid in result.source_sop_instance_uids),
            )
            for radiograph in radiographs
        ]

    def _predictions(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        query = {"limit": "200"}
        while True:
            page = self._ask(f"/v1/predictions?{urllib.parse.urlencode(query)}")
            rows += page["items"]
            if page["next"] is None:
                return rows
            query["cursor"] = page["next"]

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(f"{self.api_url}{path}", headers={"X-API-Key": self.api_key})  # noqa: S310
        with _LOOPBACK.open(request, timeout=10) as answer:
            return json.load(answer)

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<26}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )


def _may_pass(variable: str) -> bool:
    """A demo has its own database, broker, ports and people; only the model may be the user's."""
    return not variable.startswith("PNEUMO_") or variable == "PNEUMO_WORKER__WEIGHTS"


def _key_of_new_database(url: str) -> str:
    from audit import schema
    from audit.api_keys import create_key
    from audit.session import Database

    database = Database(url)
    try:
        schema.upgrade(database)
        with database.write() as session:
            return create_key(session, "demo", operator(), list(Scope))
    finally:
        database.close()


def _describe(path: Path) -> Pushed:
    header = dcmread(path, stop_before_pixels=True)
    return Pushed(path, str(header.get("PatientID", "")), str(header.StudyInstanceUID), str(header.SOPInstanceUID))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
