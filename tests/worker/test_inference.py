"""The worker's room with the shipped model: each image ends in one of the four outcomes, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydicom import dcmread
from sqlalchemy import select

from audit.inference_jobs import claim_inference
from audit.listing import Page
from audit.models import AuditEvent, Instance, Job, Prediction
from audit.prediction_filter import PredictionFilter
from audit.queries import find_predictions, get_prediction
from core.destinations import DICOMDestination
from core.records import Finding, InferenceJob, Outcome, ResultKind
from core.spool import Spool
from dicom.envelope import write
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.worker.rooms import Rooms, radiograph_file, rooms
from worker import opening

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1")


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path, PACS, maximum_attempts=2) as made:
        yield made


def predictions(house: Rooms) -> list[Prediction]:
    with house.database.read() as session:
        found = find_predictions(session, PredictionFilter(), Page(200))
        return [get_prediction(session, row.id) for row in found]  # type: ignore[misc] - each id was just found


class Breaking:
    """The real classifier, breaking on its n-th batches as a bad image or a full GPU would make it."""

    def __init__(self, real: Classifier, breaks_on: Sequence[int]) -> None:
        self.identity, self._real, self._breaks_on, self.batches = real.identity, real, set(breaks_on), 0

    def judge(self, images: Sequence[Any]) -> Any:
        self.batches += 1
        if self.batches in self._breaks_on:
            raise RuntimeError("MARKER of a patient in a foreign message")
        return self._real.judge(images)


def test_every_image_of_a_mixed_batch_has_its_outcome(house: Rooms, classifier: Classifier) -> None:
    good = house.book_radiograph("good")
    house.book(b"no DICOM at all", sop_instance_uid="1.2.3.4")
    lateral = dcmread(BytesIO(radiograph_file("lateral")))
    lateral.ViewPosition = "LL"
    del lateral.ViewCodeSequence
    house.book(write(lateral), sop_instance_uid=str(lateral.SOPInstanceUID))

    assert house.inference(classifier).drain() is False

    outcomes = {row.instance.sop_instance_uid: row for row in predictions(house)}
    assert outcomes[good].outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)
    assert [result.kind for result in outcomes[good].result_objects] == [
        ResultKind.SECONDARY_CAPTURE,
        ResultKind.REPORT,
    ]
    assert outcomes["1.2.3.4"].outcome is Outcome.FAILED
    assert [reason.code for reason in outcomes["1.2.3.4"].warnings] == ["unreadable_dicom"]
    assert outcomes["1.2.3.4"].result_objects == []
    refused = outcomes[str(lateral.SOPInstanceUID)]
    assert refused.outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in refused.warnings] == ["lateral_view"]
    assert [result.kind for result in refused.result_objects] == [ResultKind.REPORT]


def test_stored_results_are_the_objects_the_rows_name(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("good")
    house.inference(classifier).drain()
    (prediction,) = predictions(house)
    for result in prediction.result_objects:
        dataset = dcmread(BytesIO(house.spool.read(result.spool_name)))
        assert dataset.SOPInstanceUID == result.sop_instance_uid
        assert [delivery.destination for delivery in result.deliveries] == ["pacs"]


def test_a_batch_that_breaks_is_tried_image_by_image(
    house: Rooms, classifier: Classifier, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = {house.book_radiograph(name) for name in "abc"}
    breaking = Breaking(classifier, breaks_on=[1])
    house.inference(breaking).drain()  # type: ignore[arg-type]
    assert {row.instance.sop_instance_uid for row in predictions(house)} == wanted
    assert breaking.batches == 1 + 3
    with house.database.read() as session:
        assert session.scalars(select(Job.attempts)).all() == [1, 1, 1], "none pays for another with an attempt"
    assert "MARKER" not in capfd.readouterr().err


def test_an_image_that_always_breaks_fails_for_good_with_a_report(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("a")
    breaking = Breaking(classifier, breaks_on=range(1, 100))
    house.inference(breaking).drain()  # type: ignore[arg-type]
    (prediction,) = predictions(house)
    assert prediction.outcome is Outcome.FAILED
    assert [reason.code for reason in prediction.warnings] == ["analysis_failed"]
    assert [result.kind for result in prediction.result_objects] == [ResultKind.REPORT]
    assert breaking.batches == 2


def test_an_image_that_breaks_its_report_as_well_fails_without_one(
    house: Rooms, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, other = (house.book_radiograph(name) for name in "abc")

    def opened(job: InferenceJob, spool: Spool, stack: ExitStack) -> BinaryIO | Finding:
        if job.sop_instance_uid == bad:
            raise OSError("with this image, nobody thought of it")
        return opening.opened(job, spool, stack)

    monkeypatch.setattr("worker.inference.opened", opened)
    house.inference(classifier).drain()
    found = {row.instance.sop_instance_uid: row for row in predictions(house)}
    assert (found[bad].outcome, found[bad].result_objects) == (Outcome.FAILED, [])
    assert [reason.code for reason in found[bad].warnings] == ["analysis_failed"]
    assert {found[uid].probability is not None for uid in (good, other)} == {True}


def test_an_image_that_kills_its_worker_is_given_up_unseen(tmp_path: Path, classifier: Classifier) -> None:
    with rooms(tmp_path, PACS, maximum_attempts=2) as house:
        house.book_radiograph("a")
        for _ in range(2):  # two workers that claimed it and were never heard of again
            with house.database.write() as session:
                assert len(claim_inference(session, 1, lease_seconds=-1)) == 1
        never = Breaking(classifier, breaks_on=range(1, 100))
        house.inference(never).drain()  # type: ignore[arg-type]
        (prediction,) = predictions(house)
        assert [reason.code for reason in prediction.warnings] == ["worker_lost"]
        assert never.batches == 0


def test_an_image_whose_file_is_gone_fails_and_stops_nobody(house: Rooms, classifier: Classifier) -> None:
    lost, erased, good = (house.book_radiograph(seed) for seed in ("lost", "erased", "good"))
    with house.database.write() as session:
        images = {image.sop_instance_uid: image for image in session.query(Instance)}
        house.spool.release(images[lost].spool_name)
        images[erased].spool_name = ""
    house.inference(classifier).drain()
    with house.database.read() as session:
        tries = session.scalars(select(AuditEvent).where(AuditEvent.kind == "job.retried")).all()
    assert {(each.subject, each.data["code"]) for each in tries} == {(lost, "file_missing")}
    found = {row.instance.sop_instance_uid: row for row in predictions(house)}
    assert {uid: [each.code for each in found[uid].warnings] for uid in (lost, erased)} == {
        lost: ["file_missing"],
        erased: ["erased"],
    }
    assert found[good].probability is not None


def test_who_lost_the_lease_leaves_nothing_behind(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("a")

    class Overtaken(Breaking):
        """While this one computes, its lease runs out and another worker does the job."""

        def judge(self, images: Sequence[Any]) -> Any:
            with house.database.write() as session:
                session.connection().exec_driver_sql("UPDATE jobs SET lease_until = '2000-01-01 00:00:00.000000'")
            house.inference(self._real).drain()
            return super().judge(images)

    overtaken = Overtaken(classifier, breaks_on=[])
    house.inference(overtaken).drain()  # type: ignore[arg-type]
    (prediction,) = predictions(house)
    root = house.spool.local_root
    assert root is not None
    kept = {str(path.relative_to(root)) for path in (root / "results").rglob("*.dcm")}
    assert kept == {result.spool_name for result in prediction.result_objects}


def test_nothing_is_written_back_under_a_doubtful_patient(house: Rooms, classifier: Classifier) -> None:
    first = house.book_radiograph("a", patient_id="P1")
    second = house.book_radiograph("b", patient_id="P2")
    house.inference(classifier).drain()
    rows = {row.instance.sop_instance_uid: row for row in predictions(house)}
    assert len(rows[first].result_objects) == 2
    assert rows[second].outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in rows[second].warnings] == ["patient_conflict"]
    assert rows[second].result_objects == []
