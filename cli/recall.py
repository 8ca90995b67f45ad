"""The steps of a recall, some hundred studies at a time, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cli.database import operator
from core.errors import ConfigurationError
from core.settings import Settings

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

    from audit.models import ModelVersion
    from audit.reanalysis import Reanalysis
    from audit.recalls import Marked, Recall
    from audit.session import Database
    from worker.recall import RejectionNotes

_AT_ONCE = 200

Advance = Callable[[int], None]
"""Told of how many studies are done."""


class Reason(StrEnum):
    QUALITY = "quality"
    SAFETY = "safety"

    @property
    def document_title(self) -> Code:
        """Document Title of the note, CID 7010."""
        from dicom import codes

        return {
            Reason.QUALITY: codes.REJECTED_FOR_QUALITY_REASONS,
            Reason.SAFETY: codes.REJECTED_FOR_PATIENT_SAFETY_REASONS,
        }[self]


@dataclass
class Rejections:
    new: int = 0
    known: int = 0
    """Written by an earlier call."""
    failed: int = 0
    """Studies of which no image can be read any more."""
    destinations: Counter[str] = field(default_factory=Counter)
    """Notes due now."""
    unreachable: Counter[str] = field(default_factory=Counter)
    """Studies whose results lie at a destination that is gone from the configuration."""


@dataclass(frozen=True, slots=True)
class InCharge:
    """The model that judges the next image."""

    name: str
    device_uid: str


def in_charge(database: Database, settings: Settings) -> InCharge:
    """Raises ConfigurationError: its files are needed to tell, and are not here."""
    from audit.model_versions import in_service, introduce_shipped
    from audit.models import ModelState
    from dicom.identity import device_uid
    from ml.weights import DEFAULT_WEIGHTS, load_record
    from worker.model_store import ModelStore

    weights = settings.worker.weights
    if weights is None:
        shipped = load_record(DEFAULT_WEIGHTS).identity
        with database.write() as session:
            introduce_shipped(session, shipped, device_uid(shipped))
            active = next(row for row in in_service(session) if row.state is ModelState.ACTIVE)
        if not settings.worker.use_tta:
            return InCharge(f"{active.name}@{active.version}", active.device_uid)
        weights = ModelStore(settings.models).weights_of(active)
    identity = load_record(weights).identity
    if settings.worker.use_tta:
        from ml.classifier import Classifier

        identity = Classifier.load(weights, use_tta=True).identity
    return InCharge(f"{identity.name}@{identity.version}", device_uid(identity))


def refuse_in_charge(version: ModelVersion, now_in_charge: InCharge) -> None:
    """Raises ConfigurationError: what is withdrawn must not judge the next image."""
    from audit.models import ModelState

    if version.state is ModelState.ACTIVE or version.device_uid == now_in_charge.device_uid:
        raise ConfigurationError(
            f"{version.name}@{version.version} judges the next image: activate another one first, with `pneumo models "
            "activate NAME@VERSION`, and take it out of the setting worker.weights if it stands there"
        )


def mark(database: Database, recall: Recall, study_ids: Sequence[int], advance: Advance) -> Marked:
    """Raises ConfigurationError: the model was activated meanwhile."""
    from audit.recalls import Marked, mark_recalled

    done = Marked()
    for batch in _batches(study_ids):
        try:
            with database.write() as session:
                done += mark_recalled(session, recall, batch, operator())
        except ValueError as exc:
            raise ConfigurationError(str(exc)) from exc
        advance(len(batch))
    return done


def reject(notes: RejectionNotes, recall: Recall, study_ids: Sequence[int], advance: Advance) -> Rejections:
    from worker.recall import Fate

    done = Rejections()
    for study_id in study_ids:
        rejected = notes.send(recall, study_id)
        advance(1)
        if rejected is None:
            continue
        done.new += rejected.fate is Fate.NEW
        done.known += rejected.fate is Fate.KNOWN
        done.failed += rejected.fate is Fate.FAILED
        done.destinations.update(rejected.destinations)
        done.unreachable.update(rejected.unreachable)
    return done


def reanalyse(
    database: Database, recall: Recall, study_ids: Sequence[int], now_in_charge: InCharge, advance: Advance
) -> Reanalysis:
    from audit.reanalysis import Reanalysis, reanalyse

    done = Reanalysis()
    for batch in _batches(study_ids):
        with database.write() as session:
            done += reanalyse(session, recall, batch, operator(), now_in_charge.device_uid)
        advance(len(batch))
    return done


def _batches(study_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(study_ids), _AT_ONCE):
        yield study_ids[start : start + _AT_ONCE]
