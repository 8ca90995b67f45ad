"""The inference room and the prediction service: someone waits, nothing is written back, pictures are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from safetensors.numpy import load_file
from sqlalchemy import select

from audit.models import Delivery, Picture, PictureKind, Prediction, PredictionWarning, ResultObject
from core.destinations import DICOMDestination
from core.file_header import MAXIMUM_SIDE
from core.records import Outcome
from dicom.identity import device_uid
from ml.classifier import Classifier
from ml.novelty import PREFIX
from ml.pictures import LONGEST_SIDE
from ml.weights import DEFAULT_WEIGHTS
from tests.worker.rooms import Rooms, radiograph_file, rooms
from tests.worker.uploads import picture_file, upload
from worker.lineup import PinnedModel

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1")
JUDGED = (Outcome.POSITIVE, Outcome.NEGATIVE)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path, PACS, batch_size=4) as made:
        yield made


class Watched:
    """The real classifier; ``batches`` tells how many images it was asked about at once."""

    def __init__(self, real: Classifier) -> None:
        self.identity, self.use_tta, self._real = real.identity, real.use_tta, real
        self.batches: list[int] = []

    def judge(self, images: Sequence[Any]) -> Any:
        self.batches.append(len(images))
        return self._real.judge(images)


def answers(house: Rooms) -> list[tuple[str, Outcome, str]]:
    """Image, outcome and the Device UID of who answered, in the order of the answers."""
    with house.database.read() as session:
        rows = session.scalars(select(Prediction).order_by(Prediction.id))
        return [(row.instance.sop_instance_uid, row.outcome, row.model_version.device_uid) for row in rows]


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_a_picture_is_judged_and_nothing_is_written_back(
    house: Rooms, classifier: Classifier, kind: str, media_type: str
) -> None:
    given = upload(house, picture_file(kind), media_type)
    house.inference(classifier).drain()
    ((uid, outcome, _),) = answers(house)
    assert uid == given.sop_instance_uid
    assert outcome in JUDGED
    with house.database.read() as session:
        assert session.scalars(select(ResultObject)).all() == []
        assert session.scalars(select(Delivery)).all() == []


def test_an_uploaded_dicom_file_is_read_as_it_is(house: Rooms, classifier: Classifier) -> None:
    lateral = dcmread(BytesIO(radiograph_file("lateral")))
    lateral.ViewPosition = "LL"
    del lateral.ViewCodeSequence
    buffer = BytesIO()
    lateral.save_as(buffer)
    upload(house, buffer.getvalue(), "application/dicom")
    upload(house, radiograph_file("frontal"), "application/dicom")
    house.inference(classifier).drain()
    refused, judged = answers(house)
    assert (refused[1], judged[1] in JUDGED) == (Outcome.NOT_ANALYSED, True)
    with house.database.read() as session:
        assert session.scalars(select(ResultObject)).all() == []


def test_what_is_no_picture_fails_and_its_neighbour_does_not(house: Rooms, classifier: Classifier) -> None:
    upload(house, b"\x89PNG and nothing else")
    upload(house, picture_file())
    house.inference(classifier).drain()
    assert [outcome in JUDGED for _, outcome, _ in answers(house)] == [False, True]
    with house.database.read() as session:
        assert "unreadable_image" in session.scalars(select(PredictionWarning.code)).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (65_535, 1), (1, 65_535), (65_536, 8), (8, 65_536)])
def test_a_picture_of_any_shape_has_its_outcome(house: Rooms, classifier: Classifier, size: tuple[int, int]) -> None:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).save(file, "PNG")
    upload(house, file.getvalue())
    house.inference(classifier).drain()
    ((_, outcome, _),) = answers(house)
    assert outcome in Outcome
    with house.database.read() as session:
        codes = session.scalars(select(PredictionWarning.code)).all()
    assert ("unreadable_image" in codes) == (max(size) > MAXIMUM_SIDE), "as Rows and Columns are VR US"


def test_an_upload_may_ask_for_test_time_augmentation(house: Rooms, classifier: Classifier) -> None:
    plain = upload(house, picture_file())
    steady = upload(house, picture_file(), use_tta=True)
    house.inference(classifier).drain()
    with_tta = device_uid(Classifier.load(DEFAULT_WEIGHTS, use_tta=True).identity)
    assert {uid: device for uid, _, device in answers(house)} == {
        plain.sop_instance_uid: device_uid(classifier.identity),
        steady.sop_instance_uid: with_tta,
    }
    with house.database.read() as session:
        first, second = session.scalars(select(Prediction.probability).order_by(Prediction.id)).all()
    assert first != second


def test_who_waits_comes_before_images_that_came_earlier_and_shares_no_batch(
    house: Rooms, classifier: Classifier
) -> None:
    arrived = [house.book_radiograph(name) for name in "ab"]
    given = upload(house, picture_file())
    watched = Watched(classifier)
    house.inference(watched).drain()  # type: ignore[arg-type]
    assert [uid for uid, _, _ in answers(house)] == [given.sop_instance_uid, *arrived]
    assert watched.batches == [1, 2]


def test_who_comes_in_the_middle_of_a_batch_waits_for_one_image(
    house: Rooms, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = [house.book_radiograph(name) for name in "abc"]
    given: list[str] = []

    class Interrupted(Watched):
        def judge(self, images: Sequence[Any]) -> Any:
            if not given:
                given.append(upload(house, picture_file()).sop_instance_uid)
            return super().judge(images)

    house.inference(Interrupted(classifier)).drain()  # type: ignore[arg-type]
    assert [uid for uid, _, _ in answers(house)] == [arrived[0], given[0], *arrived[1:]]


def test_pictures_of_a_judged_image_lie_in_the_spool(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("a")
    upload(house, picture_file())
    house.inference(classifier).drain()
    with house.database.read() as session:
        pictures = session.scalars(select(Picture).order_by(Picture.id)).all()
        assert [row.kind for row in pictures] == [*PictureKind, *PictureKind]
    for row in pictures:
        content = house.spool.read(row.spool_name)
        assert row.spool_name.endswith(".png")
        assert hashlib.sha256(content).hexdigest() == row.sha256
        with Image.open(BytesIO(content), formats=["PNG"]) as picture:
            picture.load()
            if row.kind is PictureKind.OVERLAY:
                assert picture.width == 1024
            else:
                assert picture.size == (600, 440)
                assert max(picture.size) <= LONGEST_SIDE
            if row.kind is PictureKind.ORIGINAL:
                shown = np.asarray(picture, dtype=float)
                expected = np.asarray(Image.open(BytesIO(picture_file())), dtype=float)
                assert np.abs(shown - expected).mean() < 5


def test_an_image_without_an_answer_has_no_pictures(house: Rooms, classifier: Classifier) -> None:
    house.book_radiograph("a", patient_id="P1")
    house.book_radiograph("b", patient_id="P2")  # of the same study: not analysed
    house.inference(classifier).drain()
    with house.database.read() as session:
        assert len(session.scalars(select(Picture)).all()) == len(PictureKind)
    root = house.spool.local_root
    assert root is not None
    assert len(list((root / "pictures").rglob("*.png"))) == len(PictureKind)


def test_what_is_told_of_the_model_is_what_answers(house: Rooms, classifier: Classifier) -> None:
    told = PinnedModel(house.database, classifier).lineup().active.in_charge
    assert told.device_uid == device_uid(classifier.identity)
    assert told.device_uid_with_tta == device_uid(Classifier.load(DEFAULT_WEIGHTS, use_tta=True).identity)
    assert (told.name, told.label, told.image_size) == ("mobilenet_v2", "pneumonia", 224)
    assert told.num_parameters == sum(
        tensor.size for key, tensor in load_file(DEFAULT_WEIGHTS).items() if _is_parameter(key)
    )
    assert told.device in ("cpu", "cuda")
    assert told.accuracy == pytest.approx(0.972, abs=0.001)


def _is_parameter(key: str) -> bool:
    """Not what batch norm keeps count of, nor the gate."""
    return key.endswith((".weight", ".bias")) and not key.startswith(PREFIX)
