"""The models a worker has loaded: the active one, and those in shadow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from audit.inference_jobs import register_model
from audit.model_reports import report_taken_up, report_unavailable
from audit.model_versions import in_service, introduce_shipped
from audit.models import ModelState, ModelVersion
from audit.session import Database
from core.errors import ConfigurationError
from core.logs import describe, get_logger
from core.records import ModelInCharge
from core.settings import Settings
from dicom.identity import device_uid
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS, load_record
from worker.model_store import ModelStore
from worker.pulse import WORKER

log = get_logger("models")

# A model that could not be loaded is tried again now and then: its files may be on their way.
_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """``model_version_id`` is the row of who answers, which ``use_tta`` makes another than that of the files."""

    model_version_id: int
    classifier: Classifier

    @property
    def in_charge(self) -> ModelInCharge:
        """What is told of it where it is the active one."""
        classifier, identity = self.classifier, self.classifier.identity
        return ModelInCharge(
            device_uid=device_uid(identity),
            device_uid_with_tta=device_uid(classifier.with_tta().identity),
            name=identity.name,
            version=identity.version,
            label=identity.label,
            image_size=classifier.record.preprocessing.size,
            num_parameters=classifier.num_parameters,
            device=classifier.device.type,
            accuracy=classifier.record.accuracy,
        )


@dataclass(frozen=True, slots=True)
class Lineup:
    active: Loaded
    shadows: tuple[Loaded, ...] = ()


class Models(Protocol):
    def lineup(self) -> Lineup:
        """What to work with now; asked before each batch."""
        ...

    def is_current(self) -> bool:
        """Whether the last line-up is what is wanted now. Loads nothing, so any thread may ask."""
        ...


class PinnedModel:
    """The one model that ``worker.weights`` names, whatever the database says of others; nothing in shadow."""

    def __init__(self, database: Database, classifier: Classifier) -> None:
        self._lineup = Lineup(registered(database, classifier))

    def lineup(self) -> Lineup:
        return self._lineup

    def is_current(self) -> bool:
        return True


class ModelsInService:
    """Follows the database from batch to batch. A model that cannot be loaded leaves all others as they were."""

    def __init__(self, database: Database, store: ModelStore, *, use_tta: bool = False) -> None:
        """Raises ConfigurationError: the active model cannot be loaded, and there is none yet to go on with."""
        self._database, self._store, self._use_tta = database, store, use_tta
        self._loaded: dict[str, Loaded] = {}
        self._try_again_at: dict[str, float] = {}
        self._lineup: Lineup | None = None
        self._wanted: list[tuple[str, ModelState]] = []
        shipped = load_record(DEFAULT_WEIGHTS).identity
        with database.write() as session:
            introduce_shipped(session, shipped, device_uid(shipped))
        self.lineup()

    def lineup(self) -> Lineup:
        with self._database.read() as session:
            wanted = in_service(session)
        self._wanted = [(version.device_uid, version.state) for version in wanted]
        found = {version.device_uid: self._get(version) for version in wanted}
        active = next((found[row.device_uid] for row in wanted if row.state is ModelState.ACTIVE), None)
        if active is None:
            active = self._kept(wanted)
        shadows = tuple(
            shadow
            for row in wanted
            if row.state is ModelState.SHADOW and (shadow := found[row.device_uid]) and shadow is not active
        )
        self._loaded = {uid: model for uid, model in self._loaded.items() if model in (active, *shadows)}
        self._lineup = Lineup(active, shadows)
        return self._lineup

    def is_current(self) -> bool:
        with self._database.read() as session:
            return self._wanted == [(version.device_uid, version.state) for version in in_service(session)]

    def _kept(self, wanted: list[ModelVersion]) -> Loaded:
        if self._lineup is None:
            # Another model instead of the chosen one is nobody's decision; what arrives meanwhile waits.
            names = ", ".join(f"{row.name}@{row.version}" for row in wanted if row.state is ModelState.ACTIVE) or "none"
            raise ConfigurationError(
                f"the active model ({names}) cannot be loaded on this machine: `pneumo doctor` says why; add its files "
                "here with `pneumo models add`, or activate another model"
            )
        return self._lineup.active

    def _get(self, version: ModelVersion) -> Loaded | None:
        known = self._loaded.get(version.device_uid)
        if known is not None or time.monotonic() < self._try_again_at.get(version.device_uid, 0.0):
            return known
        try:
            loaded = registered(self._database, self._store.load(version, use_tta=self._use_tta))
        except Exception as exc:  # noqa: BLE001 - a model that does not fit, or into no memory, must not stop the others
            self._miss(version, exc)
            return None
        self._try_again_at.pop(version.device_uid, None)
        self._loaded[version.device_uid] = loaded
        with self._database.write() as session:
            report_taken_up(session, version, WORKER)
        log.info("model_loaded", model=version.name, version=version.version, state=version.state)
        return loaded

    def _miss(self, version: ModelVersion, exc: Exception) -> None:
        self._try_again_at[version.device_uid] = time.monotonic() + _PAUSE_SECONDS
        log.error("model_unavailable", model=version.name, version=version.version, **describe(exc))
        why = str(exc) if isinstance(exc, ConfigurationError) else type(exc).__name__
        with self._database.write() as session:
            report_unavailable(session, version, WORKER, why)


def models_for(database: Database, settings: Settings) -> Models:
    """Raises ConfigurationError: there is no model to work with."""
    use_tta = settings.worker.use_tta
    if settings.worker.weights is None:
        return ModelsInService(database, ModelStore(settings.models), use_tta=use_tta)
    classifier = Classifier.load(settings.worker.weights, use_tta=use_tta)
    log.info("model_pinned", model=classifier.identity.name, version=classifier.identity.version)
    return PinnedModel(database, classifier)


def registered(database: Database, classifier: Classifier) -> Loaded:
    """With the row of who answers, made at its first use."""
    with database.write() as session:
        return Loaded(register_model(session, classifier.identity, device_uid(classifier.identity)), classifier)
