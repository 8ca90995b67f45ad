"""Which instances a document speaks of, by study and series (PS3.3 C.17.2.1, Hierarchical SOP Instance Reference)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance and where it lies."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def evidence_sequence(references: Sequence[Reference]) -> list[Dataset]:
    """One item per study, in it one per series; studies, series and instances keep their order, repeats are dropped."""
    studies: dict[str, dict[str, list[Reference]]] = {}
    for reference in dict.fromkeys(references):
        series = studies.setdefault(reference.study_instance_uid, {})
        series.setdefault(reference.series_instance_uid, []).append(reference)
    return [_study(uid, series) for uid, series in studies.items()]


def _study(study_instance_uid: str, series: dict[str, list[Reference]]) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = study_instance_uid
    item.ReferencedSeriesSequence = [_series(uid, references) for uid, references in series.items()]
    return item


def _series(series_instance_uid: str, references: list[Reference]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_instance_uid
    item.ReferencedSOPSequence = [_instance(reference) for reference in references]
    return item


def _instance(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
