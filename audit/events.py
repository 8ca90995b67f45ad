"""Audit events: written inside the transaction of what they tell about."""

from __future__ import annotations

from sqlalchemy.orm import Session

from audit.chain import hold_event
from core.request_ids import REQUEST_ID, current_request_id

PROCESS = "pneumo"


def record_event(session: Session, kind: str, *, subject: str = "", actor: str = PROCESS, **data: object) -> None:
    """``data`` must be JSON and hold no attribute of a patient. The row is there once ``Database.write`` commits.

    What an HTTP request leads to carries the request's id, in the API and in the worker alike.
    """
    if request_id := current_request_id():
        data[REQUEST_ID] = request_id
    hold_event(session, kind, subject, actor, data)
