"""Audit messages about processes, callers who were turned away, keys, sign-ins and the audit log itself."""

from __future__ import annotations

from datetime import datetime

from worker import audit_codes as codes
from worker.audit_told import AUDIT_LOG, SECURITY_RESOURCE, SYSTEM_OBJECT, UNKNOWN, Told
from worker.audit_xml import Coded, Message, Object, Outcome, Participant


def application(type_: Coded, told: Told) -> Message:
    """A.5.3.1"""
    event = told.event
    host = str(event.data.get("host", ""))
    process = Participant(
        f"{event.subject}@{host}:{event.data.get('pid', '')}",
        roles=(codes.APPLICATION,),
        ae_titles=(told.ae_title,),
        name=event.subject,
        address=host,
    )
    reason = str(event.data.get("reason", ""))
    outcome = Outcome.SUCCESS if reason in ("", "signal") else Outcome.SERIOUS_FAILURE
    description = "" if outcome is Outcome.SUCCESS else reason
    return told.message(codes.APPLICATION_ACTIVITY, "E", [process], [], type_, outcome=outcome, description=description)


def alert(type_: Coded, outcome: Outcome, told: Told) -> Message:
    """A.5.3.11"""
    event = told.event
    what = told.details()
    subject = Object(
        event.subject or event.actor or UNKNOWN,
        codes.NODE_ID,
        SYSTEM_OBJECT,
        SECURITY_RESOURCE,
        details={"Alert Description": f"{event.kind}: {what}".encode()},
    )
    description = str(event.data.get("cause") or event.data.get("why") or "")
    return told.message(
        codes.SECURITY_ALERT,
        "E",
        [told.us(), told.actor()],
        [subject],
        type_,
        outcome=outcome,
        description=description,
    )


def api_refused(told: Told) -> Message:
    restricted = told.event.data.get("why") == "scope_missing"
    type_ = codes.USE_OF_RESTRICTED_FUNCTION if restricted else codes.NODE_AUTHENTICATION
    return alert(type_, Outcome.MINOR_FAILURE, told)


def instance_refused(told: Told) -> Message | None:
    """One that we could not read or keep is no alert."""
    if told.event.data.get("code") != "not_authorised":
        return None
    return alert(codes.NODE_AUTHENTICATION, Outcome.MINOR_FAILURE, told)


def authentication(type_: Coded, outcome: Outcome, told: Told) -> Message:
    """A.5.3.12"""
    return told.message(
        codes.USER_AUTHENTICATION,
        "E",
        [told.actor(), told.us()],
        [],
        type_,
        outcome=outcome,
        description=str(told.event.data.get("why", "")) if outcome is not Outcome.SUCCESS else "",
    )


def anchor(at: datetime, event_id: int, hash_: str, events: int, ae_title: str) -> Message:
    """A.5.3.2, Audit Log Used: where the chain of audit events ended when it was looked at."""
    reader = Participant("pneumo", True, ae_titles=(ae_title,), name="pneumo")
    head = {str(event_id): bytes.fromhex(hash_), "events": str(events).encode()}
    log = Object("urn:pneumo:audit-events", codes.URI, SYSTEM_OBJECT, SECURITY_RESOURCE, AUDIT_LOG, details=head)
    return Message(codes.AUDIT_LOG_USED, (codes.kind_of_event("chain.anchored"),), "R", at, (reader,), (log,))
