"""Every code that can be shown has words."""

from __future__ import annotations

from enum import StrEnum

import pytest

from api.pages import words
from audit.alerts import AlertCode
from audit.comparison import Status
from audit.models import Agreement, ModelState, TrueLabel
from core.broker import WorkQueue
from core.records import DeliveryState, Outcome, ResultKind
from core.scopes import Scope
from dicom.gate import _REASONS, _WARNINGS
from ml.classifier import NOT_KNOWN, UNUSUAL, VIEWS_DISAGREE
from pacs_listener import admission


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (words.OUTCOMES, Outcome),
        (words.DELIVERY_STATES, DeliveryState),
        (words.RESULT_KINDS, ResultKind),
        (words.MODEL_STATES, ModelState),
        (words.AGREEMENT, Agreement),
        (words.TRUE_LABELS, TrueLabel),
        (words.QUEUES, WorkQueue),
        (words.SCOPES, Scope),
        (words.ALERTS, AlertCode),
        (words.DRIFT, Status),
    ],
)
def test_members_of_an_enumeration(table: dict[str, str], codes: type[StrEnum]) -> None:
    assert [code.value for code in codes if code.value not in table] == []


def test_remarks_and_refusals() -> None:
    remarks = [*_REASONS, *_WARNINGS, NOT_KNOWN.code, UNUSUAL.code, VIEWS_DISAGREE.code]
    assert [code for code in remarks if code not in words.REMARKS] == []
    refusals = [each.cause for each in vars(admission).values() if isinstance(each, admission.Refusal)]
    assert refusals
    assert [cause for cause in refusals if cause not in words.REFUSALS] == []
