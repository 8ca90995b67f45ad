"""The same model asked again about an image: another report, under names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import select

from audit.models import Delivery, Job, Prediction, ResultObject
from audit.retrials import Fate, retry_job
from audit.studies import release_idle_studies
from core.destinations import DICOMDestination
from core.records import DeliveryState, Outcome, ResultKind
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.worker.rooms import Rooms, rooms
from tests.worker.test_inference import Breaking

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", objects=(
    ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT, ResultKind.PRESENTATION_STATE, ResultKind.ENCAPSULATED_PDF,
))  # fmt: skip


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path, PACS, maximum_attempts=1) as made:
        yield made


def retried(house: Rooms) -> Fate:
    with house.database.write() as session:
        (job,) = session.scalars(select(Job.id))
        retrial = retry_job(session, job, "cli:test")
    assert retrial is not None
    return retrial.fate


def reports(house: Rooms) -> list[Dataset]:
    with house.database.read() as session:
        rows = session.scalars(
            select(ResultObject).where(ResultObject.kind == ResultKind.REPORT).order_by(ResultObject.id)
        ).all()
    return [dcmread(BytesIO(house.spool.read(row.spool_name))) for row in rows]


def test_the_second_answer_of_a_model_has_names_of_its_own(house: Rooms, classifier: Classifier) -> None:
    uid = house.book_radiograph("a")
    house.inference(Breaking(classifier, breaks_on=[1])).drain()  # type: ignore[arg-type]
    assert retried(house) is Fate.QUEUED
    house.inference(classifier).drain()
    with house.database.read() as session:
        first, second = session.scalars(select(Prediction).order_by(Prediction.id)).all()
        assert (first.outcome, first.recalled_at is None) == (Outcome.FAILED, False)
        assert (second.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE), second.recalled_at) == (True, None)
        assert first.model_version_id == second.model_version_id
        assert len({each.sop_instance_uid for row in (first, second) for each in row.result_objects}) == 2 + 4
        assert len({each.series_instance_uid for row in (first, second) for each in row.result_objects}) == 2 + 4
    earlier, later = reports(house)
    assert earlier.SOPInstanceUID != later.SOPInstanceUID
    (study,) = later.CurrentRequestedProcedureEvidenceSequence
    named = [each for series in study.ReferencedSeriesSequence for each in series.ReferencedSOPSequence]
    assert uid in {str(each.ReferencedSOPInstanceUID) for each in named}
    with house.database.write() as session:
        release_idle_studies(session, 0)
    with house.database.read() as session:
        sendable = session.scalars(
            select(ResultObject.prediction_id).join(Delivery).where(Delivery.state == DeliveryState.PENDING)
        ).all()
    assert set(sendable) == {second.id}, "what is withdrawn does not go out"


def test_generations_are_told_apart_in_every_kind_of_result(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("a")
    for _ in range(3):
        house.inference(Breaking(classifier, breaks_on=[1])).drain()  # type: ignore[arg-type]
        assert retried(house) is Fate.QUEUED
    house.inference(classifier).drain()
    assert retried(house) is Fate.DONE
    with house.database.read() as session:
        assert session.scalars(select(Job.generation)).one() == 4
        uids = session.scalars(select(ResultObject.sop_instance_uid)).all()
    assert len(set(uids)) == len(uids) == 3 * 2 + 4
