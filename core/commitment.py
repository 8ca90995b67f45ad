"""The data sets of storage commitment (PS3.4 J), for both of its ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import RE_VALID_UID

from core.errors import FailedForGood

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5: the one that every request and report is about
REQUEST = 1  # PS3.4 J.3.2.1: action type
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # PS3.4 J.3.3.1: event types

_MOST_REFERENCES = 10_000

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class Request:
    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Report:
    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[str, str, int], ...]
    """SOP Class UID, SOP Instance UID and Failure Reason (PS3.3 C.14.1.1)."""

    @property
    def event_type(self) -> int:
        return FAILURES_EXIST if self.failed else ALL_COMMITTED

    @property
    def committed_uids(self) -> frozenset[str]:
        return frozenset(uid for _, uid in self.committed)

    @property
    def failure_reasons(self) -> dict[str, int]:
        return {uid: reason for _, uid, reason in self.failed}


def request_data_set(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    """Action Information (PS3.4 Table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ReferencedSOPSequence = [_item(*reference) for reference in references]
    return dataset


def report_data_set(report: Report) -> Dataset:
    """Event Information (PS3.4 Table J.3-2): neither sequence may be there without items."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(*reference) for reference in report.committed]
    if report.failed:
        failed = []
        for sop_class_uid, sop_instance_uid, reason in report.failed:
            item = _item(sop_class_uid, sop_instance_uid)
            item.FailureReason = reason
            failed.append(item)
        dataset.FailedSOPSequence = failed
    return dataset


def read_request(dataset: Dataset) -> Request:
    """Raises FailedForGood: ``unreadable``, ``uid_invalid`` or ``no_references``."""
    references = tuple(_reference(item) for item in _items(dataset, "ReferencedSOPSequence"))
    if not references:
        raise FailedForGood("no_references")
    return Request(_uid(dataset, "TransactionUID"), references)


def read_report(dataset: Dataset) -> Report:
    """Raises FailedForGood: ``unreadable`` or ``uid_invalid``."""
    return Report(
        _uid(dataset, "TransactionUID"),
        tuple(_reference(item) for item in _items(dataset, "ReferencedSOPSequence")),
        tuple((*_reference(item), _reason(item)) for item in _items(dataset, "FailedSOPSequence")),
    )


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    items = _value(dataset, keyword) or ()
    if not isinstance(items, Sequence) or len(items) > _MOST_REFERENCES:
        raise FailedForGood("unreadable", keyword)
    return items


def _reference(item: Dataset) -> Reference:
    return _uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID")


def _reason(item: Dataset) -> int:
    reason = _value(item, "FailureReason")
    return reason if isinstance(reason, int) else 0x0110  # PS3.3 C.14.1.1: processing failure; some leave it out


def _uid(dataset: Dataset, keyword: str) -> str:
    # PS3.5 6.2 pads with NUL; some pad with a space.
    uid = str(_value(dataset, keyword) or "").strip(" \0")
    if len(uid) > 64 or not re.match(RE_VALID_UID, uid):
        raise FailedForGood("uid_invalid", keyword)
    return uid


def _value(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset.get(keyword)
    except Exception as exc:
        # Whatever pydicom trips over in a stranger's bytes has this one meaning.
        raise FailedForGood("unreadable", keyword) from exc
