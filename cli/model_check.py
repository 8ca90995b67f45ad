"""What ``pneumo doctor`` says of the models: which one judges, and whether this machine and the workers have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audit import schema
from audit.model_reports import troubles
from audit.model_versions import in_service
from audit.models import ModelState, ModelVersion
from audit.session import Database
from core.errors import ConfigurationError
from core.settings import Settings
from ml.weights import DEFAULT_WEIGHTS, load_record
from worker.model_store import ModelStore


def examine_models(settings: Settings) -> str:
    """Raises ConfigurationError with everything that is amiss."""
    if settings.worker.weights is not None:
        return f"{_described(settings.worker.weights)}; pinned by worker.weights, `pneumo models` is not asked"
    chosen, wrong = _in_service(settings)
    if not any(version.state is ModelState.ACTIVE for version in chosen):
        return f"{_described(DEFAULT_WEIGHTS)}; shipped, and active until another one is"
    store = ModelStore(settings.models)
    for version in chosen:
        try:
            store.record_of(version)
        except ConfigurationError as exc:
            wrong.append(f"{_named(version)} cannot be used on this machine: {exc}")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return "; ".join(_answers(chosen, store))


def _in_service(settings: Settings) -> tuple[list[ModelVersion], list[str]]:
    """And what workers complain of. Nothing where the database cannot be asked, which is another check's answer."""
    database = Database(settings.database)
    try:
        if schema.current_revision(database) != schema.newest_revision():
            return [], []
        with database.read() as session:
            chosen = in_service(session)
            complaints = [
                f"worker {trouble.worker} goes without {_named(version)} since {trouble.at:%Y-%m-%d %H:%M} UTC: "
                f"{trouble.why}"
                for version in chosen
                for trouble in troubles(session, version)
            ]
            return chosen, complaints
    finally:
        database.close()


def _answers(chosen: list[ModelVersion], store: ModelStore) -> Iterator[str]:
    yield from (_described(store.weights_of(row)) + ", active" for row in chosen if row.state is ModelState.ACTIVE)
    yield from (f"in shadow: {row.name}@{row.version}" for row in chosen if row.state is ModelState.SHADOW)


def _named(version: ModelVersion) -> str:
    return f"{version.name}@{version.version} ({version.state})"


def _described(weights: Path) -> str:
    identity = load_record(weights).identity
    return f"{identity.name} {identity.version}, threshold {identity.threshold:.3f}, digest {identity.digest[:12]}"
