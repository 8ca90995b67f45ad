"""How fast results are built, and how fast they reach a destination along the road that workers take."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from pydicom import dcmread
from pydicom.uid import generate_uid

from audit import schema
from audit.deliveries import DeliveryFilter
from audit.delivery_listing import find_deliveries
from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.intake import book_instance
from audit.session import Database
from audit.studies import release_idle_studies
from cli.phantom import draw
from core.destinations import DICOMDestination
from core.records import DeliveryState, ReceivedInstance, ResultKind, ResultObject
from core.settings import Settings
from core.spool import Spool
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import device_uid
from dicom.wrapping import Wrapping, dx_from_image
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from worker.outbox import Outbox
from worker.pipeline import Analysed, analyse
from worker.results import built, results_about, stored

_REPEATS = 5
# A positive sample of the demo's.
_SEED, _ROWS, _COLUMNS = 20, 1020, 1480


@dataclass(frozen=True, slots=True)
class BuildTime:
    kind: ResultKind
    milliseconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Throughput:
    concurrency: int
    objects: int
    sent: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "per_second": round(self.sent / self.seconds, 1)}


def analysed_sample(kinds: Sequence[ResultKind], rows: int = _ROWS, columns: int = _COLUMNS) -> Analysed:
    """A synthetic radiograph with pneumonia, judged by the shipped model."""
    about = Wrapping(patient_id="BENCH", taken=datetime(2026, 1, 5, tzinfo=UTC), patient_age="003Y")
    film = write(dx_from_image(draw(_SEED, pneumonia=True, rows=rows, columns=columns), about))
    (analysed,) = analyse([BytesIO(film)], Classifier.load(DEFAULT_WEIGHTS), "BENCHMARK", kinds)
    return analysed


def measure_building(rows: int = _ROWS, columns: int = _COLUMNS) -> list[BuildTime]:
    """Median time and size of each kind that is made about one image."""
    analysed = analysed_sample([ResultKind.SECONDARY_CAPTURE], rows, columns)
    case = _case(analysed)
    times = []
    for kind in ResultKind:
        if not results_about(case, analysed.picture, {kind}):
            continue
        seconds = []
        for _ in range(_REPEATS):
            clock = time.perf_counter()
            (result,) = results_about(case, analysed.picture, {kind})
            seconds.append(time.perf_counter() - clock)
        times.append(BuildTime(kind, 1000 * median(seconds), len(result.content)))
    return times


def measure_delivery(destination: DICOMDestination, folder: Path, objects: int) -> Throughput:
    """Send so many objects, Secondary Captures and reports by turns, each of its own, to an empty destination.

    Claims, C-STOREs and settlements are the worker's own, on SQLite in ``folder``.
    """
    settings = Settings(home=folder, destinations=(destination,))
    database, spool = Database(settings.database), Spool(settings.spool)
    schema.upgrade(database)
    _fill(database, spool, destination.name, objects)
    outbox = Outbox(settings, database, spool)
    clock = time.perf_counter()
    with ThreadPoolExecutor(destination.concurrency) as pool:
        for drained in [pool.submit(outbox.drain) for _ in range(destination.concurrency)]:
            drained.result()
    seconds = time.perf_counter() - clock
    with database.read() as session:
        sent = len(find_deliveries(session, DeliveryFilter(state=DeliveryState.SENT), objects))
    database.close()
    return Throughput(destination.concurrency, objects, sent, seconds)


def _fill(database: Database, spool: Spool, destination: str, objects: int) -> None:
    analysed = analysed_sample([ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT])
    with database.write() as session:
        book_instance(session, _received(analysed))
        (job,) = claim_inference(session, 1, 60)
        model = _case(analysed).model
        finish_inference(
            session,
            job,
            analysed.analysis,
            model_version_id=register_model(session, model, device_uid(model)),
            results=[_copy(analysed, number % len(analysed.results), spool) for number in range(objects)],
            destinations={kind: [destination] for kind in ResultKind},
            stage_seconds={},
        )
    with database.write() as session:
        release_idle_studies(session, 0)


def _copy(analysed: Analysed, place: int, spool: Spool) -> ResultObject:
    """The result as another instance."""
    result = analysed.results[place]
    dataset = dcmread(BytesIO(result.content))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return stored(built(result.kind, dataset), spool)


def _received(analysed: Analysed) -> ReceivedInstance:
    source = _case(analysed).source
    return ReceivedInstance(
        sop_instance_uid=source.sop_instance_uid,
        sop_class_uid=source.sop_class_uid,
        study_instance_uid=source.study_instance_uid,
        series_instance_uid=source.series_instance_uid,
        transfer_syntax_uid=source.transfer_syntax_uid,
        modality=source.modality,
        patient_id="BENCH",
        issuer_of_patient_id="",
        accession_number="",
        study_date="",
        calling_ae_title="BENCH",
        called_ae_title="PNEUMO",
        peer_address="127.0.0.1",
        source="bench",
        spool_name="received/none.dcm",
        sha256=hashlib.sha256(b"").hexdigest(),
        size_bytes=0,
    )


def _case(analysed: Analysed) -> Case:
    if analysed.case is None:
        raise AssertionError("the sample is a readable radiograph")
    return analysed.case
