"""The worker's rooms on a SQLite database of a test's own, with images as the listener would have booked them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from audit import schema
from audit.intake import book_instance
from audit.session import Database
from cli.phantom import draw
from core.destinations import DICOMDestination
from core.records import ReceivedInstance
from core.settings import Settings, WorkerSettings
from core.spool import Spool
from dicom.envelope import write
from dicom.wrapping import Wrapping, dx_from_image
from ml.classifier import Classifier
from worker.inference import InferenceRoom
from worker.lineup import PinnedModel


@dataclass
class Rooms:
    settings: Settings
    database: Database
    spool: Spool

    def inference(self, classifier: Classifier) -> InferenceRoom:
        """With this one model, as ``worker.weights`` would have it."""
        return InferenceRoom(self.settings, self.database, self.spool, PinnedModel(self.database, classifier))

    def book(self, content: bytes, *, sop_instance_uid: str, study: str = "1.2.3", patient_id: str = "P1") -> int:
        """Put bytes into the spool and their rows into the books; returns the job's id."""
        with self.database.write() as session:
            booked = book_instance(
                session,
                ReceivedInstance(
                    sop_instance_uid=sop_instance_uid,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
                    study_instance_uid=study,
                    series_instance_uid=f"{study}.1",
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    modality="DX",
                    patient_id=patient_id,
                    issuer_of_patient_id="",
                    accession_number="",
                    study_date="20260301",
                    calling_ae_title="MODALITY",
                    called_ae_title="PNEUMO",
                    peer_address="127.0.0.1",
                    source="test",
                    spool_name=self.spool.write(content, "received"),
                    sha256=hashlib.sha256(content).hexdigest(),
                    size_bytes=len(content),
                ),
            )
        assert booked.job_id is not None
        return booked.job_id

    def book_radiograph(self, seed: str, **more: str) -> str:
        """A small DX with a grain of its own; returns its SOP Instance UID."""
        content = radiograph_file(seed, patient_id=more.get("patient_id", "P1"))
        uid = str(dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID)
        self.book(content, sop_instance_uid=uid, **more)
        return uid


@cache
def film() -> npt.NDArray[np.uint8]:
    return draw(1, pneumonia=False, rows=440, columns=600)


def radiograph_file(seed: str, patient_id: str = "P1") -> bytes:
    """A synthetic radiograph with a grain of its own: the model's gate answers to no less."""
    noise = np.random.default_rng(list(seed.encode())).normal(0, 2, (440, 600))
    about = Wrapping(patient_id=patient_id, taken=datetime(2026, 3, 1, tzinfo=UTC), patient_age="003Y", seed=seed)
    return write(dx_from_image(np.clip(film() + noise, 0, 255).astype(np.uint8), about))


@contextmanager
def rooms(folder: Path, *destinations: DICOMDestination, **worker: float) -> Iterator[Rooms]:
    settings = Settings(
        home=folder,
        destinations=destinations,
        worker=WorkerSettings.model_validate({"retry_seconds": 0, "study_idle_seconds": 0, **worker}),
    )
    database = Database(settings.database)
    schema.upgrade(database)
    try:
        yield Rooms(settings, database, Spool(settings.spool))
    finally:
        database.close()
