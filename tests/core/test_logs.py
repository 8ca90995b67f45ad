from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from core.logs import configure_logs, describe, get_logger


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a process configures once must not reach the tests after this one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    structlog.reset_defaults()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_the_bound_job(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    with structlog.contextvars.bound_contextvars(job_id=7):
        get_logger("test").info("image_finished", sop_instance_uid="1.2.3")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["job_id"], line["sop_instance_uid"]) == ("image_finished", 7, "1.2.3")


def test_attributes_of_patients_are_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text")
    get_logger("test").warning("mistake", patient_id="MARKER", dataset="MARKER")
    assert "MARKER" not in capsys.readouterr().err


def test_an_error_is_described_without_its_message() -> None:
    try:
        raise ValueError("invalid value MARKER for PatientName")
    except ValueError as exc:
        described = describe(exc)
    assert described["error"] == "ValueError"
    assert "test_logs.py" in described["where"]
    assert "MARKER" not in str(described)
