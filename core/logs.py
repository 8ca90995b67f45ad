"""structlog set-up: one line per event, UIDs and row ids in it, people never."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

# Attributes of people by the names our code and pydicom's keywords would give them. A log call that passes one is a
# mistake; the line is kept and the value is not.
_FORBIDDEN = frozenset({
    "patient", "patient_id", "patient_name", "patient_birth_date", "patient_sex", "patient_age", "accession_number",
    "issuer_of_patient_id", "other_patient_ids", "dataset", "identifier",
})  # fmt: skip


def _drop_patient_attributes(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    for key in _FORBIDDEN & event.keys():
        event[key] = "(withheld)"
    return event


def configure_logs(log_format: str) -> None:
    """Send our events and the libraries' warnings to stderr, as text for people or JSON lines for collectors."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_patient_attributes,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pneumo").setLevel(logging.INFO)
    # pydicom's and pynetdicom's messages may quote element values (pynetdicom issue 911).
    for library in ("pydicom", "pynetdicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(room: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"pneumo.{room}")
    return logger


def describe(exc: BaseException) -> dict[str, str]:
    """What a log may say of a foreign error: its class and where it was raised. Its message may quote data."""
    frames = traceback.extract_tb(exc.__traceback__)[-3:]
    where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return {"error": type(exc).__name__, "where": where}
