"""UIDs that are derived, so that doing a thing twice names the same thing, and the marks by which we know our own."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict

from pydicom.dataset import Dataset

from core.identity import is_own_equipment
from core.records import REPORT_KINDS, ModelIdentity, ResultKind
from dicom.headers import items, text

# Root of every UID we derive; another value would give every result of the past a new name.
_NAMESPACE = uuid.UUID("5e0c4d2f-6f3b-4c61-9a5c-0f3a1b7d9e42")


def derived_uid(*parts: str) -> str:
    """PS3.5 B.2: ``2.25.`` and a UUID as a decimal integer, here version 5 over the parts in order."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def device_uid(model: ModelIdentity) -> str:
    """IHE AIR 6.5.3.1: changes with every retraining, and here with whatever else decides a prediction."""
    return derived_uid("device", json.dumps(asdict(model), sort_keys=True))


def result_uid(source_sop_instance_uid: str, device_uid: str, kind: ResultKind, generation: int = 1) -> str:
    """``generation``: above 1 where the same model had to judge the image once more."""
    return derived_uid("result", source_sop_instance_uid, device_uid, kind, *_told_apart(generation))


def series_uid(
    study_instance_uid: str, source_sop_instance_uid: str, device_uid: str, kind: ResultKind, generation: int = 1
) -> str:
    """The pictures of a study share a series. Each report has its own: OHIF shows only the last one of a series."""
    scope = source_sop_instance_uid if kind in REPORT_KINDS else ""
    return derived_uid("series", study_instance_uid, scope, device_uid, kind, *_told_apart(generation))


def tracking_uid(source_sop_instance_uid: str, device_uid: str, label: str, generation: int = 1) -> str:
    """Tracking Unique Identifier of a finding: every kind of object that speaks of it uses the same one."""
    return derived_uid("finding", source_sop_instance_uid, device_uid, label, *_told_apart(generation))


def _told_apart(generation: int) -> tuple[str, ...]:
    """The first generation goes unnamed: its UIDs are older than the word."""
    return () if generation == 1 else (f"generation {generation}",)


def is_own_result(dataset: Dataset) -> bool:
    """Whether we made this object or it was made from one of ours. Reads the header only."""
    return any(
        is_own_equipment(text(equipment, "Manufacturer"), text(equipment, "ManufacturerModelName"))
        for equipment in (dataset, *items(dataset, "ContributingEquipmentSequence"))
    )
