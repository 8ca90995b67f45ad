"""What the API tells of the chain is what was last found."""

from __future__ import annotations

from pathlib import Path

import httpx

from audit.events import record_event
from audit.session import Database
from audit.verdicts import record_verdict
from tests.audit.tampering import tamper, verify
from worker.anchoring import Anchoring


def test_the_state_of_the_chain(api: httpx.Client, database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        record_event(session, "test.happened")
    before = api.get("/v1/audit/chain").json()
    assert (before["last_anchor"], before["last_verified"]) == (None, None)
    assert before["events"] == before["head"]["event_id"] > 0

    Anchoring(database, tmp_path / "anchors", 3600)()
    with database.write() as session:
        record_verdict(session, verify(database))
    whole = api.get("/v1/audit/chain").json()
    assert whole["last_anchor"]["event_id"] == before["events"]
    assert (whole["last_verified"]["whole"], whole["last_verified"]["events"]) == (True, before["events"])
    assert whole["head"]["hash"] != before["head"]["hash"]

    tamper(database, f"UPDATE audit_events SET actor = 'nobody' WHERE id = {before['events']}")  # noqa: S608
    found = verify(database)
    with database.write() as session:
        record_verdict(session, found)
    broken = api.get("/v1/audit/chain").json()["last_verified"]
    assert (broken["whole"], broken["first_bad"]) == (False, before["events"])
    assert "was changed" in broken["why"]

    tamper(database, "DELETE FROM chain_head")
    assert api.get("/v1/audit/chain").json()["head"] is None
