"""A study that was reported and then grows: the new image's results, and nothing twice."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import select

from audit.models import Delivery, Instance, Prediction, ResultObject
from ml.classifier import Classifier
from tests.models import write_model
from tests.worker.pacs import pacs, status
from tests.worker.rooms import Rooms, rooms
from tests.worker.test_recall import book, judged_and_sent


def _deliveries(house: Rooms, sop_instance_uid: str) -> list[tuple[object, ...]]:
    """Of one image's results."""
    statement = (
        select(
            ResultObject.sop_instance_uid, ResultObject.spool_name, Delivery.id, Delivery.state, Delivery.attempts,
            Delivery.due_at, Delivery.sent_at,
        )
        .join(Delivery.result_object)
        .join(Prediction)
        .join(Instance)
        .where(Instance.sop_instance_uid == sop_instance_uid)
        .order_by(Delivery.id)
    )  # fmt: skip
    with house.database.read() as session:
        return [tuple(row) for row in session.execute(statement)]


def test_a_late_image_adds_its_own_results_alone(tmp_path: Path) -> None:
    classifier = Classifier.load(write_model(tmp_path / "models", "m", "1", shift=10))
    with pacs(status(0x0000)) as fake, rooms(tmp_path, fake.destination) as house:
        first = book(house, "first", "1.2.30")
        judged_and_sent(house, classifier)
        before, sent = _deliveries(house, first), len(fake.stored)
        assert (len(before), sent) == (2, 2)

        late = book(house, "late", "1.2.30")
        judged_and_sent(house, classifier)
        judged_and_sent(house, classifier)  # nothing is left to do

        assert _deliveries(house, first) == before
        added = _deliveries(house, late)
        assert [row[4] for row in added] == [1, 1]
        assert len(fake.stored) == sent + 2
        received = [str(dcmread(BytesIO(each), force=True).SOPInstanceUID) for each in fake.stored]
        assert sorted(received) == sorted(str(row[0]) for row in before + added)
        assert len(set(received)) == 4
