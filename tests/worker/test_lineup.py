"""A running inference room beside an administrator: switched between batches, with models in shadow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from audit.heartbeats import model_in_charge
from audit.listing import Page
from audit.model_versions import activate, find_version, keep_files, put_in_shadow, take_out_of_shadow
from audit.models import AuditEvent, Delivery, Prediction, ResultObject, Role
from audit.prediction_filter import PredictionFilter
from audit.queries import find_predictions
from core.broker import WorkQueue
from core.destinations import DICOMDestination
from core.errors import ConfigurationError
from dicom.identity import device_uid
from ml.weights import DEFAULT_WEIGHTS, WeightsRecord, load_record
from tests.models import write_model
from tests.worker.rooms import Rooms, rooms
from worker import lineup
from worker.inference import InferenceRoom
from worker.lineup import Lineup, Loaded, ModelsInService, PinnedModel, models_for
from worker.model_store import ModelStore
from worker.pulse import Pulse

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1")
_SHIFTS = {"never": -10.0, "always": 10.0}


@dataclass
class House(Rooms):
    """With two models in the store: ``never`` calls nothing pneumonia, ``always`` everything."""

    def switch(self, change: Any, words: str) -> None:
        with self.database.write() as session:
            change(session, find_version(session, words).id, "cli:anna")

    def room(self) -> InferenceRoom:
        return InferenceRoom(self.settings, self.database, self.spool, models_for(self.database, self.settings))

    def predictions(self, role: Role | None = Role.ACTIVE) -> list[tuple[str, str, str]]:
        """Image, model's version and outcome, in the order of the rows."""
        with self.database.read() as session:
            found = find_predictions(session, PredictionFilter(role=role), Page(200))
            return [(row.instance.sop_instance_uid, row.model_version.name, row.outcome.value) for row in found[::-1]]

    def events(self, kind: str) -> list[AuditEvent]:
        with self.database.read() as session:
            return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[WeightsRecord]]:
    folder = tmp_path_factory.mktemp("models")
    brought = [write_model(folder / "brought", name, "1", shift=shift) for name, shift in _SHIFTS.items()]
    return folder / "store", [ModelStore(folder / "store").add(weights)[0] for weights in brought]


@pytest.fixture
def house(tmp_path: Path, stored: tuple[Path, list[WeightsRecord]]) -> Iterator[House]:
    """``never`` is active."""
    with rooms(tmp_path, PACS, batch_size=2) as made:
        house = House(made.settings, made.database, made.spool)
        shutil.copytree(stored[0], made.settings.models)
        with made.database.write() as session:
            for record in stored[1]:
                keep_files(session, record.identity, device_uid(record.identity), f"{record.name}-1", "cli:anna")
        house.switch(activate, "never@1")
        yield house


def test_a_running_room_takes_another_model_up_between_batches(house: House) -> None:
    room = house.room()
    first = house.book_radiograph("a")
    room.drain()
    house.switch(activate, "always@1")
    second = house.book_radiograph("b")
    room.drain()
    house.switch(activate, "never@1")
    third = house.book_radiograph("c")
    room.drain()
    assert house.predictions() == [
        (first, "never", "negative"),
        (second, "always", "positive"),
        (third, "never", "negative"),
    ]
    assert [event.data["state"] for event in house.events("model.taken_up")] == ["active"] * 3


def test_a_batch_ends_with_the_model_it_began_with(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    room, finish = house.room(), InferenceRoom._finish

    def finish_while_an_administrator_switches(self: InferenceRoom, *arguments: Any) -> bool:
        house.switch(activate, "always@1")
        return finish(self, *arguments)

    monkeypatch.setattr(InferenceRoom, "_finish", finish_while_an_administrator_switches)
    for name in "abc":  # batches of two
        house.book_radiograph(name)
    room.drain()
    assert [model for _, model, _ in house.predictions()] == ["never", "never", "always"]


def test_models_in_shadow_judge_the_same_images_and_deliver_nothing(house: House) -> None:
    house.switch(put_in_shadow, "always@1")
    room = house.room()
    uids = [house.book_radiograph(name) for name in "abc"]
    house.book(b"no DICOM at all", sop_instance_uid="1.2.3.4")
    room.drain()
    reported = [(uid, "never", "negative") for uid in uids]
    assert house.predictions() == [*reported, ("1.2.3.4", "never", "failed")]
    assert house.predictions(Role.SHADOW) == [(uid, "always", "positive") for uid in uids]
    with house.database.read() as session:
        owners = session.scalars(select(Prediction.role).join(ResultObject).join(Delivery).distinct()).all()
        shadow = session.scalars(select(Prediction).where(Prediction.role == Role.SHADOW)).first()
        assert owners == [Role.ACTIVE]
        assert shadow is not None
        assert shadow.voi == "window"
        assert shadow.probability == pytest.approx(1.0, abs=0.01)
    assert len(list((house.spool.local_root or Path()).glob("results/**/*.dcm"))) == 2 * len(uids)
    house.switch(take_out_of_shadow, "always@1")
    house.book_radiograph("d")
    room.drain()
    assert len(house.predictions(Role.SHADOW)) == len(uids)


class Spoilt:
    """A lineup whose shadows are asked through a classifier that breaks, as a model on trial may."""

    def __init__(self, house: House, models: ModelsInService) -> None:
        self._house, self._models, self.finished_before = house, models, 0

    def is_current(self) -> bool:
        return self._models.is_current()

    def lineup(self) -> Lineup:
        found = self._models.lineup()
        broken = Broken(found.active.classifier, self)
        return Lineup(found.active, (Loaded(found.active.model_version_id, broken), *found.shadows))  # type: ignore[arg-type]

    def note(self) -> None:
        self.finished_before = len(self._house.predictions())


class Broken:
    def __init__(self, real: Any, spoilt: Spoilt) -> None:
        self.identity, self._spoilt = real.identity, spoilt

    def judge(self, _images: object) -> None:
        self._spoilt.note()
        raise RuntimeError("MARKER of a patient in a foreign message")


def test_a_shadow_that_fails_hurts_neither_the_active_model_nor_the_next_shadow(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    house.switch(put_in_shadow, "always@1")
    spoilt = Spoilt(house, ModelsInService(house.database, ModelStore(house.settings.models)))
    room = InferenceRoom(house.settings, house.database, house.spool, spoilt)
    uids = [house.book_radiograph(name) for name in "ab"]
    room.drain()
    assert spoilt.finished_before == 2, "the active model's outcomes were committed before a shadow was asked"
    assert house.predictions() == [(uid, "never", "negative") for uid in uids]
    assert house.predictions(Role.SHADOW) == [(uid, "always", "positive") for uid in uids]
    (event,) = house.events("shadow.failed")
    assert (event.data["code"], event.data["images"]) == ("RuntimeError", 2)
    assert "MARKER" not in str(event.data) + capfd.readouterr().err


def test_under_a_doubtful_patient_nobody_judges_in_shadow(house: House) -> None:
    house.switch(put_in_shadow, "always@1")
    house.book_radiograph("a", patient_id="P1")
    house.book_radiograph("b", patient_id="P2")
    house.room().drain()
    assert len(house.predictions()) == 2
    assert len(house.predictions(Role.SHADOW)) == 1


def test_who_lacks_a_models_files_keeps_the_one_it_has(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineup, "_PAUSE_SECONDS", 0.0)
    room = house.room()
    kept_aside = shutil.move(house.settings.models / "always-1", house.settings.home)
    house.switch(activate, "always@1")
    house.book_radiograph("a")
    house.book_radiograph("b")
    house.book_radiograph("c")
    room.drain()
    assert {model for _, model, _ in house.predictions()} == {"never"}
    (event,) = house.events("model.unavailable")
    assert "missing" in event.data["why"]

    shutil.move(kept_aside, house.settings.models)
    house.book_radiograph("d")
    room.drain()
    assert house.predictions()[-1][1] == "always", "tried again"


def test_a_worker_does_not_start_with_another_model_than_the_chosen_one(house: House) -> None:
    shutil.rmtree(house.settings.models / "never-1")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"never@1.*pneumo models add"):
            house.room()
    assert len(house.events("model.unavailable")) == 1


def test_a_setting_pins_a_worker_to_a_file(house: House) -> None:
    house.switch(put_in_shadow, "always@1")
    named = house.settings.models / "always-1" / "always.safetensors"
    worker = house.settings.worker.model_copy(update={"weights": named})
    models = models_for(house.database, house.settings.model_copy(update={"worker": worker}))
    assert isinstance(models, PinnedModel)
    house.switch(take_out_of_shadow, "always@1")
    found = models.lineup()
    assert (found.active.classifier.identity.name, found.shadows) == ("always", ())


def test_the_shipped_model_needs_no_store(tmp_path: Path) -> None:
    with rooms(tmp_path) as made:
        found = models_for(made.database, made.settings).lineup()
    assert found.active.classifier.record == load_record(DEFAULT_WEIGHTS)
    assert not made.settings.models.exists()


def test_views_are_another_device_of_the_same_files(house: House) -> None:
    models = ModelsInService(house.database, ModelStore(house.settings.models), use_tta=True)
    with house.database.read() as session:
        plain = find_version(session, device_uid(models.lineup().active.classifier.record.identity))
    assert models.lineup().active.model_version_id != plain.id


def test_the_heartbeat_tells_of_an_activation_before_the_next_image(house: House) -> None:
    models = models_for(house.database, house.settings)
    alive = Pulse(house.database, WorkQueue.INFERENCE, lambda: models.lineup().active.in_charge)
    alive()
    assert in_charge(house) == ("never", "1")
    assert models.is_current()
    house.switch(activate, "always@1")
    assert not models.is_current()
    alive()
    assert in_charge(house) == ("always", "1")
    assert models.is_current()


def test_a_model_taken_up_in_the_middle_of_the_work_is_told_of(house: House) -> None:
    models = models_for(house.database, house.settings)
    alive = Pulse(house.database, WorkQueue.INFERENCE, lambda: models.lineup().active.in_charge)
    room = InferenceRoom(house.settings, house.database, house.spool, models, alive)
    house.switch(activate, "always@1")
    room.drain()
    assert in_charge(house) == ("always", "1")


def in_charge(house: House) -> tuple[str, str] | None:
    with house.database.read() as session:
        known = model_in_charge(session)
    return None if known is None else (known.name, known.version)
