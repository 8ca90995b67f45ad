"""A radiograph given over HTTP to the running service, judged by the shipped model in a worker of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import httpx
import pytest
from PIL import Image
from sqlalchemy import select

from audit.models import Delivery, ResultObject
from core.broker import WorkQueue
from core.destinations import DICOMDestination
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.api.conftest import serving
from tests.api.prediction_clients import key_of, settings_of_api
from tests.services import free_port, require_images
from tests.worker.rooms import Rooms, radiograph_file, rooms
from worker.lineup import PinnedModel
from worker.pulse import Pulse

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_WEIGHTS)


@contextmanager
def working(house: Rooms, classifier: Classifier) -> Iterator[None]:
    room, stop = house.inference(classifier), threading.Event()
    model = PinnedModel(house.database, classifier).lineup().active
    Pulse(house.database, WorkQueue.INFERENCE, lambda: model.in_charge)()

    def work() -> None:
        while not stop.wait(0.02):
            room.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def service(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rooms, httpx.Client]]:
    with rooms(tmp_path_factory.mktemp("home"), PACS) as house:
        port = free_port()
        api = settings_of_api(port=port, predict_timeout_seconds=60)
        settings = house.settings.model_copy(update={"api": house.settings.api.model_copy(update=api)})
        headers = {"Authorization": f"Bearer {key_of(house.database, 'ward')}"}
        with (
            serving(settings, house.database),
            working(house, classifier),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
        ):
            yield house, client


def test_radiographs_are_told_apart(service: tuple[Rooms, httpx.Client]) -> None:
    """As the published documentation shows it: open a file, post it, read the answer."""
    _, client = service
    right = 0
    for label in ("NORMAL", "PNEUMONIA"):
        for path in sorted((require_images() / "chest_xray_fullsize" / label).iterdir())[:4]:
            with path.open("rb") as file:
                answer = client.post("/predict", files={"file": file}, data={"patient_id": path.stem})
            assert answer.status_code == 200, answer.text
            said = answer.json()
            with Image.open(path) as image:
                assert said["image_size"] == list(image.size)
            assert sum(said["probabilities"].values()) == pytest.approx(100)
            assert said["confidence"] == said["probabilities"][said["prediction"]]
            assert (said["prediction"] == "PNEUMONIA") == (said["probabilities"]["PNEUMONIA"] >= said["threshold"])
            assert said["patient_id"] == path.stem
            right += said["prediction"] == label
    assert right >= 7, "of 8, most of which it was trained on"


def test_pictures_follow_the_answer(service: tuple[Rooms, httpx.Client]) -> None:
    _, client = service
    said = client.post("/predict", files={"file": radiograph_file("pictures")}).json()
    sizes = {}
    for kind in ("original", "heatmap", "overlay"):
        answer = client.get(f"/v1/predictions/{said['prediction_id']}/{kind}.png")
        assert answer.status_code == 200
        with Image.open(BytesIO(answer.content)) as image:
            image.load()
            sizes[kind] = image.size
    assert sizes["original"] == sizes["heatmap"] == (600, 440)
    assert sizes["overlay"][0] >= 600


def test_test_time_augmentation_is_another_answer(service: tuple[Rooms, httpx.Client]) -> None:
    _, client = service
    plain, steady = (
        client.post("/predict", files={"file": radiograph_file("views")}, data={"use_tta": use}).json()
        for use in ("false", "true")
    )
    assert plain["model"]["device_uid"] != steady["model"]["device_uid"]
    again = client.post("/predict", files={"file": radiograph_file("views")}, data={"use_tta": "true"}).json()
    assert (again["cached"], again["prediction_id"]) == (True, steady["prediction_id"])
    assert client.get("/model/info").json()["device_uid"] == plain["model"]["device_uid"]


def test_what_the_model_may_not_judge_is_said_so(service: tuple[Rooms, httpx.Client]) -> None:
    _, client = service
    file = BytesIO()
    Image.linear_gradient("L").resize((900, 900)).save(file, "PNG")
    answer = client.post("/predict", files={"file": file.getvalue()})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_analysable")


def test_nothing_is_made_for_the_pacs(service: tuple[Rooms, httpx.Client]) -> None:
    house, client = service
    client.post("/predict", files={"file": radiograph_file("no results")}).raise_for_status()
    with house.database.read() as session:
        assert session.scalars(select(ResultObject)).all() == []
        assert session.scalars(select(Delivery)).all() == []
