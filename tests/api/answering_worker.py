"""A worker without a model: takes jobs off the table and says what the test wants said, through audit's functions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO

from PIL import Image

from audit.heartbeats import beat
from audit.inference_jobs import StoredPicture, claim_inference, finish_inference, register_model
from audit.models import PictureKind
from audit.session import Database
from core.records import Analysis, Finding, InferenceJob, ModelInCharge, Outcome
from core.spool import Spool
from tests.audit.rows import MODEL, positive

IN_CHARGE = ModelInCharge(
    device_uid="2.25.11",
    device_uid_with_tta="2.25.12",
    name=MODEL.name,
    version=MODEL.version,
    label=MODEL.label,
    image_size=224,
    num_parameters=2_225_153,
    device="cpu",
    accuracy=0.951,
)


def png(shade: int = 0, size: tuple[int, int] = (60, 40)) -> bytes:
    """A small picture; each shade is another content."""
    file = BytesIO()
    Image.new("L", size, shade).save(file, "PNG")
    return file.getvalue()


def failed(code: str) -> Analysis:
    return Analysis(Outcome.FAILED, reasons=(Finding(code, f"About {code}."),))


@dataclass
class AnsweringWorker:
    database: Database
    spool: Spool
    say: Callable[[InferenceJob], Analysis] = lambda _job: positive(0.885)
    model: ModelInCharge = IN_CHARGE
    jobs: list[InferenceJob] = field(default_factory=list)
    """All it has answered."""

    def become(self, model: ModelInCharge) -> None:
        self.model = model
        self.beat()

    def beat(self) -> None:
        with self.database.write() as session:
            beat(session, "inference", "answering", self.model)

    def work(self) -> None:
        with self.database.write() as session:
            claimed = claim_inference(session, 16, 60)
        for job in claimed:
            self._finish(job)

    def _finish(self, job: InferenceJob) -> None:
        analysis = self.say(job)
        pictures = []
        if analysis.prediction is not None:
            for kind in PictureKind:
                content = png(len(kind))
                name = self.spool.write(content, "pictures", ".png")
                pictures.append(StoredPicture(kind, name, hashlib.sha256(content).hexdigest()))
        with self.database.write() as session:
            device_uid = self.model.device_uid_with_tta if job.use_tta else self.model.device_uid
            identity = replace(MODEL, version=self.model.version)
            finish_inference(
                session,
                job,
                analysis,
                model_version_id=register_model(session, identity, device_uid),
                results=(),
                destinations={},
                stage_seconds={"read": 0.01, "predict": 0.02},
                pictures=pictures,
            )
        self.jobs.append(job)


@contextmanager
def answering(worker: AnsweringWorker) -> Iterator[AnsweringWorker]:
    """At work until the end of the block."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(0.005):
            worker.work()

    worker.beat()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        done.set()
        thread.join()
