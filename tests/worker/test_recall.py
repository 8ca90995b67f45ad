"""From a reported study to its results withdrawn and its images judged by another model, with a folder as the PACS."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from sqlalchemy import select

from audit.model_versions import activate
from audit.models import Delivery, ModelVersion, Prediction, ResultObject
from audit.reanalysis import reanalyse
from audit.recalls import Recall, mark_recalled, studies_of
from audit.session import Database
from audit.studies import release_idle_studies
from core.destinations import FolderDestination
from core.records import DeliveryState
from dicom import codes
from dicom.envelope import write
from dicom.identity import device_uid
from ml.classifier import Classifier
from tests.models import write_model
from tests.worker.rooms import Rooms, radiograph_file, rooms
from worker.outbox import Outbox
from worker.recall import Fate, RejectionNotes

ACTOR = "cli:someone"


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> list[Classifier]:
    """A model that sees pneumonia everywhere, and one that sees none."""
    folder = tmp_path_factory.mktemp("models")
    return [Classifier.load(write_model(folder, "m", str(shift), shift=shift)) for shift in (10.0, -10.0)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    (tmp_path / "archive").mkdir()
    archive = FolderDestination(name="archive", type="folder", path=tmp_path / "archive")
    with rooms(tmp_path, archive) as made:  # type: ignore[arg-type]
        yield made


def book(house: Rooms, seed: str, study: str) -> str:
    dx = dcmread(BytesIO(radiograph_file(seed)))
    dx.StudyInstanceUID = study
    house.book(write(dx), sop_instance_uid=str(dx.SOPInstanceUID), study=study)
    return str(dx.SOPInstanceUID)


def judged_and_sent(house: Rooms, classifier: Classifier) -> None:
    house.inference(classifier).drain()
    with house.database.write() as session:
        release_idle_studies(session, 0)
    Outbox(house.settings, house.database, house.spool).drain()


def in_archive(house: Rooms) -> list[Dataset]:
    return [dcmread(path) for path in sorted((house.settings.home / "archive").rglob("*.dcm"))]


def withdrawn(database: Database, bad: Classifier, good: Classifier) -> Recall:
    """All of the bad model's results, marked, with the good one in charge."""
    with database.write() as session:
        rows = {row.device_uid: row for row in session.scalars(select(ModelVersion))}
        activate(session, rows[device_uid(good.identity)].id, ACTOR)
        recall = Recall(rows[device_uid(bad.identity)].id)
        mark_recalled(session, recall, studies_of(session, recall), ACTOR)
    return recall


def rejected(house: Rooms, recall: Recall) -> list[tuple[Fate, list[str]]]:
    notes = RejectionNotes(
        house.settings, house.database, house.spool, codes.REJECTED_FOR_PATIENT_SAFETY_REASONS, ACTOR
    )
    with house.database.read() as session:
        ids = studies_of(session, recall)
    sent = [notes.send(recall, study_id) for study_id in ids]
    return [(each.fate, list(each.destinations)) for each in sent if each is not None]


def test_withdrawn_results_are_rejected_once_and_made_anew(house: Rooms, brought: list[Classifier]) -> None:
    bad, good = brought
    house.inference(good)  # a worker that has it registers it
    for seed, study in (("a", "1.2.30"), ("b", "1.2.30"), ("c", "1.2.31")):
        book(house, seed, study)
    judged_and_sent(house, bad)
    first = {str(each.SOPInstanceUID) for each in in_archive(house)}
    assert len(first) == 6
    book(house, "d", "1.2.32")
    house.inference(bad).drain()  # judged and not sent: nothing to reject

    recall = withdrawn(house.database, bad, good)
    assert rejected(house, recall) == [(Fate.NEW, ["archive"])] * 2
    assert rejected(house, recall) == [(Fate.KNOWN, [])] * 2
    judged_and_sent(house, good)

    everything = in_archive(house)
    notes = [each for each in everything if each.SOPClassUID == KeyObjectSelectionDocumentStorage]
    assert {str(each.SOPInstanceUID) for each in everything if each not in notes} == first
    assert [note.StudyInstanceUID for note in notes] == ["1.2.30", "1.2.31"]
    assert {note.ConceptNameCodeSequence[0].CodeValue for note in notes} == {"113037"}
    named = [
        {
            str(instance.ReferencedSOPInstanceUID)
            for study in note.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        for note in notes
    ]
    assert [len(each) for each in named] == [4, 2]
    assert set().union(*named) == first

    with house.database.write() as session:
        done = reanalyse(session, recall, studies_of(session, recall), ACTOR, device_uid(good.identity))
    assert done.queued == 4
    judged_and_sent(house, good)
    new = {str(each.SOPInstanceUID) for each in in_archive(house)} - {str(each.SOPInstanceUID) for each in everything}
    assert len(new) == 8
    with house.database.read() as session:
        outcomes = session.execute(select(Prediction.outcome, Prediction.recalled_at.is_(None))).all()
        attempts = session.scalars(select(Delivery.attempts).where(Delivery.sent_at.is_not(None))).all()
    assert sorted(outcomes) == [("negative", True)] * 4 + [("positive", False)] * 4
    assert list(attempts) == [1] * (6 + 2 + 8)


def test_a_note_goes_wherever_results_were_delivered_since(house: Rooms, brought: list[Classifier]) -> None:
    bad, good = brought
    house.inference(good)
    book(house, "a", "1.2.30")
    judged_and_sent(house, bad)
    recall = withdrawn(house.database, bad, good)
    assert rejected(house, recall) == [(Fate.NEW, ["archive"])]
    second = FolderDestination(name="second", type="folder", path=house.settings.home / "second")
    with house.database.write() as session:  # a worker held this one while the results were marked
        result = session.scalars(select(ResultObject).order_by(ResultObject.id)).first()
        assert result is not None
        sent_at = result.created_at
        session.add(
            Delivery(result_object_id=result.id, destination="second", state=DeliveryState.SENT, sent_at=sent_at)
        )
    gone = RejectionNotes(house.settings, house.database, house.spool, codes.REJECTED_FOR_QUALITY_REASONS, ACTOR)
    other_reason = gone.send(recall, 1)
    assert other_reason is not None
    assert (other_reason.fate, other_reason.unreachable) == (Fate.NEW, ["second"])
    house.settings = house.settings.model_copy(update={"destinations": (*house.settings.destinations, second)})
    assert rejected(house, recall) == [(Fate.KNOWN, ["second"])]
    assert rejected(house, recall) == [(Fate.KNOWN, [])]


def test_a_study_without_a_readable_image_has_no_note(house: Rooms, brought: list[Classifier]) -> None:
    bad, good = brought
    house.inference(good)
    book(house, "a", "1.2.30")
    judged_and_sent(house, bad)
    recall = withdrawn(house.database, bad, good)
    root = house.spool.local_root
    assert root is not None
    for path in (root / "received").rglob("*.dcm"):
        path.unlink()
    assert rejected(house, recall) == [(Fate.FAILED, [])]
