"""What is made about a whole study, once its images are reported."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import select

from audit.models import AuditEvent, Delivery, ResultObject
from audit.studies import release_idle_studies
from core.destinations import DICOMDestination
from core.records import STUDY_KINDS, DeliveryState, ResultKind
from dicom.envelope import write
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.worker.rooms import Rooms, radiograph_file, rooms
from worker.conclusions import conclude

EVERYTHING = DICOMDestination(
    name="pacs",
    ae_title="PACS",
    host="127.0.0.1",
    objects=(ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT, ResultKind.STUDY_SUMMARY, ResultKind.KEY_OBJECTS),
)
OTHER_DIALECT = DICOMDestination(
    name="research",
    ae_title="RESEARCH",
    host="127.0.0.1",
    objects=(ResultKind.REPORT_3D, ResultKind.SECONDARY_CAPTURE, ResultKind.KEY_OBJECTS),
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


def report(house: Rooms, classifier: Classifier, *seeds: str) -> int:
    """Analyse images of one study, let their results go, and conclude; returns how many studies were concluded."""
    for seed in seeds:
        image = dcmread(BytesIO(radiograph_file(seed)))
        image.StudyInstanceUID = "1.2.3"
        house.book(write(image), sop_instance_uid=str(image.SOPInstanceUID), study="1.2.3")
    house.inference(classifier).drain()
    with house.database.write() as session:
        release_idle_studies(session, 0, conclude=True)
    return conclude(house.settings, house.database, house.spool)


def about_the_study(house: Rooms) -> list[tuple[ResultKind, Dataset, list[Delivery]]]:
    with house.database.read() as session:
        rows = session.scalars(
            select(ResultObject).where(ResultObject.kind.in_(STUDY_KINDS)).order_by(ResultObject.id)
        ).all()
        return [(row.kind, dcmread(BytesIO(house.spool.read(row.spool_name))), list(row.deliveries)) for row in rows]


def references(document: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def made(house: Rooms, kinds: Sequence[ResultKind]) -> set[str]:
    with house.database.read() as session:
        return set(session.scalars(select(ResultObject.sop_instance_uid).where(ResultObject.kind.in_(kinds))))


def test_two_images_have_a_summary_and_key_objects_once(tmp_path: Path, classifier: Classifier) -> None:
    with rooms(tmp_path, EVERYTHING) as house:
        assert report(house, classifier, "one", "two") == 1
        assert conclude(house.settings, house.database, house.spool) == 0
        (summary, key_objects) = about_the_study(house)
        assert (summary[0], key_objects[0]) == (ResultKind.STUDY_SUMMARY, ResultKind.KEY_OBJECTS)
        for _, _, deliveries in (summary, key_objects):
            (delivery,) = deliveries
            assert (delivery.destination, delivery.state) == ("pacs", DeliveryState.PENDING)
            assert delivery.due_at is not None
        results = made(house, (ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT))
        assert len(results) == 4
        assert results <= references(key_objects[1])


def test_one_image_needs_no_summary(tmp_path: Path, classifier: Classifier) -> None:
    with rooms(tmp_path, EVERYTHING) as house:
        report(house, classifier, "one")
        assert [kind for kind, *_ in about_the_study(house)] == [ResultKind.KEY_OBJECTS]


def test_a_study_that_grew_has_another_summary_that_replaces_the_first(tmp_path: Path, classifier: Classifier) -> None:
    with rooms(tmp_path, EVERYTHING) as house:
        report(house, classifier, "one", "two")
        assert report(house, classifier, "three") == 1
        first, second = (document for kind, document, _ in about_the_study(house) if kind is ResultKind.STUDY_SUMMARY)
        assert first.SOPInstanceUID != second.SOPInstanceUID
        predecessor = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_key_objects_name_only_what_every_receiver_gets(tmp_path: Path, classifier: Classifier) -> None:
    with rooms(tmp_path, EVERYTHING, OTHER_DIALECT) as house:
        report(house, classifier, "one")
        ((kind, document, deliveries),) = about_the_study(house)
        assert kind is ResultKind.KEY_OBJECTS
        assert [delivery.destination for delivery in deliveries] == ["pacs", "research"]
        named = references(document)
        assert made(house, (ResultKind.SECONDARY_CAPTURE,)) <= named
        assert not named & made(house, (ResultKind.REPORT, ResultKind.REPORT_3D))


def test_a_study_that_cannot_be_concluded_does_not_hold_up_others(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rooms(tmp_path, EVERYTHING) as house:
        monkeypatch.setattr("worker.conclusions.key_objects.build", _broken)
        assert report(house, classifier, "one") == 1
        assert conclude(house.settings, house.database, house.spool) == 0
        assert about_the_study(house) == []
        with house.database.read() as session:
            (event,) = session.scalars(select(AuditEvent).where(AuditEvent.kind == "study.conclusion_failed"))
        assert event.data == {"error": "ZeroDivisionError"}


def _broken(*_: object, **__: object) -> Dataset:
    raise ZeroDivisionError
