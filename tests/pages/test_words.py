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
from tests.pages.codes import codes_of, kinds_of_events

_OF_REPORTS = {"unknown_source", "no_address"}
"""Why a modality does not get the report on storage commitment that it is owed; no page shows it."""


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


def test_what_may_keep_an_image_from_its_answer() -> None:
    codes = codes_of(
        "dicom", "ml", "worker/inference.py", "worker/opening.py", "worker/pipeline.py", "audit/inference_jobs.py"
    )
    assert {"undecodable_pixels", "file_missing", "analysis_failed", "already_answered"} <= codes
    assert [code for code in codes if words.words_for("remark", code) is None] == []


def test_what_may_keep_a_result_from_its_destination() -> None:
    sending = ("answers", "c_store", "confirmation", "folder", "http", "look_up", "mllp", "outbox", "stow", "webhook")
    codes = codes_of(*(f"worker/{name}.py" for name in sending), "audit/confirmations.py", "audit/deliveries.py")
    codes |= codes_of("worker/commitment.py") - _OF_REPORTS
    assert {"recalled", "erased", "not_in_pacs", "http_", "sop_class_not_supported", "commitment_refused_0x"} <= codes
    assert [code for code in codes if words.words_for("trouble", code) is None] == []


def test_what_may_keep_an_image_out() -> None:
    codes = codes_of("core/file_header.py", "pacs_listener/handlers.py")
    assert {"uid_missing", "disk_reserve_reached"} <= codes
    assert [code for code in codes if words.words_for("trouble", code) is None] == []


def test_a_code_goes_on_with_a_number_or_with_another_code() -> None:
    assert words.words_for("trouble", "not_committed_0x0119") == (words.BEGINNINGS["not_committed_"], "0x0119")
    assert words.words_for("trouble", "gave_up_after_no_answer") == (words.BEGINNINGS["gave_up_after_"], "no_answer")
    assert words.words_for("trouble", "http_404") == ("The address leads nowhere (404)", "")
    assert words.words_for("remark", "http_500") is None


def test_kinds_of_events() -> None:
    kinds = kinds_of_events("audit", "worker", "pacs_listener", "api", "cli")
    kinds |= {f"prediction.{outcome}" for outcome in Outcome}
    assert len(kinds) > 50
    assert [kind for kind in kinds if kind not in words.EVENTS] == []
    assert [kind for kind in words.EVENTS if kind not in kinds] == []
