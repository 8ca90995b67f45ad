"""Which model judges, which ones watch in shadow, and who decided so. ``docs/states.md`` draws the states."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from audit.events import PROCESS, record_event
from audit.inference_jobs import register_model
from audit.models import ModelState, ModelVersion, now
from core.records import ModelIdentity

BECAME = {ModelState.ACTIVE: "model.activated", ModelState.SHADOW: "model.shadowed", ModelState.IDLE: "model.idled"}
"""The event of each state; before the first of them a model is idle."""
_STATE_LOCK = 7_385_665  # of PostgreSQL's advisory locks; audit/deliveries.py has the number before it


def list_versions(session: Session) -> list[ModelVersion]:
    return list(session.scalars(select(ModelVersion).order_by(ModelVersion.id)))


def in_service(session: Session) -> list[ModelVersion]:
    """The active model and those in shadow, in the order of their registration."""
    chosen = select(ModelVersion).where(ModelVersion.state != ModelState.IDLE)
    return list(session.scalars(chosen.order_by(ModelVersion.id)))


def find_version(session: Session, words: str) -> ModelVersion:
    """By ``NAME@VERSION`` or the beginning of a Device UID.

    Raises:
        ValueError: no model, or more than one, is meant.
    """
    found = session.scalars(select(ModelVersion).where(_meant_by(words)).order_by(ModelVersion.id)).all()
    if not found:
        known = ", ".join(sorted({f"{row.name}@{row.version}" for row in list_versions(session)})) or "none"
        raise ValueError(f"{words} is no NAME@VERSION and no beginning of a Device UID; known are: {known}")
    if len(found) > 1:
        several = ", ".join(f"{row.name}@{row.version} {row.device_uid}" for row in found)
        raise ValueError(f"{words} may be any of several models, give more of the Device UID: {several}")
    return found[0]


def _meant_by(words: str) -> ColumnElement[bool]:
    name, at, version = words.rpartition("@")
    if at:
        return (ModelVersion.name == name) & (ModelVersion.version == version)
    return ModelVersion.device_uid.startswith(words, autoescape=True)


def introduce_shipped(session: Session, model: ModelIdentity, device_uid: str) -> ModelVersion:
    """Make the row of the model that came with this program, which is active until another one is.

    After an upgrade it takes over whatever the model shipped before was doing.
    """
    _lock(session)
    shipped = session.get_one(ModelVersion, register_model(session, model, device_uid))
    for former in in_service(session):
        if former.folder is None and former is not shipped:
            if former.state is ModelState.SHADOW and shipped.state is ModelState.IDLE:
                _change(session, shipped, ModelState.SHADOW, PROCESS)
            _change(session, former, ModelState.IDLE, PROCESS)
    if not any(row.state is ModelState.ACTIVE for row in in_service(session)):
        _change(session, shipped, ModelState.ACTIVE, PROCESS)
    return shipped


def keep_files(session: Session, model: ModelIdentity, device_uid: str, folder: str, actor: str) -> ModelVersion:
    """The row of a model whose files lie in the store now."""
    _lock(session)
    version = session.get_one(ModelVersion, register_model(session, model, device_uid))
    if version.folder != folder:
        version.folder = folder
        record_event(
            session, "model.added", subject=device_uid, actor=actor,
            name=model.name, version=model.version, digest=model.digest,
        )  # fmt: skip
    return version


def activate(session: Session, version_id: int, actor: str) -> ModelVersion:
    """Make this the active model; the one before it is idle. Of two who do so at once, the later one's holds."""
    _lock(session)
    version = session.get_one(ModelVersion, version_id)
    for other in in_service(session):
        if other.state is ModelState.ACTIVE and other is not version:
            _change(session, other, ModelState.IDLE, actor)
    _change(session, version, ModelState.ACTIVE, actor)
    return version


def put_in_shadow(session: Session, version_id: int, actor: str) -> ModelVersion:
    """Raises ValueError for the active model: another one has to be activated first."""
    return _change_unless_active(session, version_id, ModelState.SHADOW, actor)


def take_out_of_shadow(session: Session, version_id: int, actor: str) -> ModelVersion:
    """Raises ValueError for the active model."""
    return _change_unless_active(session, version_id, ModelState.IDLE, actor)


def _change_unless_active(session: Session, version_id: int, state: ModelState, actor: str) -> ModelVersion:
    _lock(session)
    version = session.get_one(ModelVersion, version_id)
    if version.state is ModelState.ACTIVE:
        raise ValueError(f"{version.name}@{version.version} is the active model: activate another one first")
    _change(session, version, state, actor)
    return version


def _change(session: Session, version: ModelVersion, state: ModelState, actor: str) -> None:
    """Written at once: in a single flush the new active model could be written before the old one is idle."""
    if version.state is state:
        return
    record_event(
        session, BECAME[state], subject=version.device_uid, actor=actor,
        name=version.name, version=version.version, before=version.state,
    )  # fmt: skip
    version.state, version.state_since = state, now()
    session.flush()


def _lock(session: Session) -> None:
    """One change at a time: the second sees what the first made of it. On SQLite the write lock does it."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_STATE_LOCK)))
    session.flush()
    session.expire_all()  # what was read before the lock may have changed while we waited for it


def since(version: ModelVersion) -> datetime:
    """When it came into its state."""
    return version.state_since or version.registered_at
