from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from audit.model_reports import report_taken_up, report_unavailable, troubles
from audit.model_versions import (
    activate,
    find_version,
    in_service,
    introduce_shipped,
    keep_files,
    list_versions,
    put_in_shadow,
    since,
    take_out_of_shadow,
)
from audit.models import AuditEvent, ModelState, ModelVersion
from audit.session import Database
from tests.audit.rows import MODEL

SHIPPED, CANDIDATE, OTHER = "2.25.11", "2.25.22", "2.25.23"


@pytest.fixture
def three(database: Database) -> Iterator[Database]:
    """The shipped model and two in the store."""
    with database.write() as session:
        introduce_shipped(session, MODEL, SHIPPED)
        keep_files(session, replace(MODEL, version="2.0.0"), CANDIDATE, "mobilenet_v2-2.0.0", "cli:test")
        keep_files(session, replace(MODEL, version="3.0.0"), OTHER, "mobilenet_v2-3.0.0", "cli:test")
    return database


def _states(database: Database) -> dict[str, ModelState]:
    with database.read() as session:
        return {row.device_uid: row.state for row in list_versions(session)}


def _id(database: Database, words: str) -> int:
    with database.read() as session:
        return find_version(session, words).id


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


def test_the_shipped_model_is_active_until_another_one_is(three: Database) -> None:
    assert _states(three) == {SHIPPED: "active", CANDIDATE: "idle", OTHER: "idle"}
    with three.write() as session:
        changed = activate(session, _id(three, CANDIDATE), "cli:anna")
    assert _states(three) == {SHIPPED: "idle", CANDIDATE: "active", OTHER: "idle"}
    assert since(changed) > changed.registered_at
    idled, activated = _events(three, "model.idled")[-1], _events(three, "model.activated")[-1]
    assert (idled.subject, idled.actor) == (SHIPPED, "cli:anna")
    assert (activated.subject, activated.actor, activated.data["before"]) == (CANDIDATE, "cli:anna", "idle")
    with three.write() as session:  # a worker starts
        introduce_shipped(session, MODEL, SHIPPED)
    assert _states(three)[CANDIDATE] == "active"


def test_changing_nothing_is_no_event(three: Database) -> None:
    before = len(_events(three, "model.activated"))
    with three.write() as session:
        activate(session, _id(three, SHIPPED), "cli:anna")
        introduce_shipped(session, MODEL, SHIPPED)
        take_out_of_shadow(session, _id(three, OTHER), "cli:anna")
        keep_files(session, replace(MODEL, version="3.0.0"), OTHER, "mobilenet_v2-3.0.0", "cli:anna")
    assert len(_events(three, "model.activated")) == before
    assert _events(three, "model.idled") == []
    assert len(_events(three, "model.added")) == 2


def test_any_number_may_be_in_shadow_but_not_the_active_one(three: Database) -> None:
    with three.write() as session:
        put_in_shadow(session, _id(three, CANDIDATE), "cli:anna")
        put_in_shadow(session, _id(three, OTHER), "cli:anna")
    assert [event.subject for event in _events(three, "model.shadowed")] == [CANDIDATE, OTHER]
    with three.read() as session:
        assert [row.device_uid for row in in_service(session)] == [SHIPPED, CANDIDATE, OTHER]
    with three.write() as session:
        take_out_of_shadow(session, _id(three, CANDIDATE), "cli:anna")
        activate(session, _id(three, OTHER), "cli:anna")
    assert _states(three) == {SHIPPED: "idle", CANDIDATE: "idle", OTHER: "active"}
    with three.write() as session, pytest.raises(ValueError, match="activate another one first"):
        put_in_shadow(session, _id(three, OTHER), "cli:anna")


@pytest.mark.parametrize(("before", "after"), [("active", "active"), ("shadow", "shadow"), ("idle", "idle")])
def test_an_upgrade_puts_the_new_shipped_model_where_the_old_one_was(three: Database, before: str, after: str) -> None:
    if before != "active":
        with three.write() as session:
            activate(session, _id(three, CANDIDATE), "cli:anna")
    if before == "shadow":
        with three.write() as session:
            put_in_shadow(session, _id(three, SHIPPED), "cli:anna")
    with three.write() as session:
        introduce_shipped(session, replace(MODEL, version="1.1.0"), "2.25.12")
    states = _states(three)
    assert (states[SHIPPED], states["2.25.12"]) == ("idle", after)
    assert list(states.values()).count(ModelState.ACTIVE) == 1


def test_two_administrators_at_once_leave_one_active_model(three: Database) -> None:
    ids, together = {uid: _id(three, uid) for uid in (CANDIDATE, OTHER)}, Barrier(2)

    def administrator(uid: str) -> None:
        for _ in range(10):
            together.wait()
            with three.write() as session:
                find_version(session, uid)
                activate(session, ids[uid], f"cli:{uid}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(administrator, ids))
    states = _states(three)
    assert sorted(states.values()) == ["active", "idle", "idle"]
    last = _events(three, "model.activated")[-1]
    assert states[last.subject] == "active"
    assert last.actor == f"cli:{last.subject}"


def test_the_database_itself_refuses_a_second_active_model(three: Database) -> None:
    with pytest.raises(IntegrityError), three.write() as session:
        session.execute(update(ModelVersion).where(ModelVersion.device_uid == OTHER).values(state=ModelState.ACTIVE))
    with pytest.raises(IntegrityError), three.write() as session:
        session.execute(text("UPDATE model_versions SET state = 'retired'"))


def test_a_model_is_found_by_name_and_version_or_device_uid(three: Database) -> None:
    with three.read() as session:
        assert find_version(session, "mobilenet_v2@2.0.0").device_uid == CANDIDATE
        assert find_version(session, "2.25.22").device_uid == CANDIDATE
        for words, said in (
            ("mobilenet_v2@9", "known are: mobilenet_v2@1.0.0, mobilenet_v2@2.0.0, mobilenet_v2@3.0.0"),
            ("2.25.2", f"{CANDIDATE}, mobilenet_v2@3.0.0 {OTHER}"),
            ("%", "no beginning of a Device UID"),
        ):
            with pytest.raises(ValueError, match=said):
                find_version(session, words)


def test_the_last_word_of_each_worker_about_a_model_counts(three: Database) -> None:
    with three.write() as session:
        version = activate(session, _id(three, CANDIDATE), "cli:anna")
    for _ in range(3):  # it is started again and again
        with three.write() as session:
            report_unavailable(session, version, "worker-1", "the weights file is missing")
    with three.write() as session:
        report_unavailable(session, version, "worker-2", "the weights file is missing")
        report_taken_up(session, version, "worker-2")
    with three.read() as session:
        assert [(trouble.worker, trouble.why) for trouble in troubles(session, version)] == [
            ("worker-1", "the weights file is missing")
        ]
        count = select(func.count()).where(AuditEvent.kind == "model.unavailable")
        assert session.scalar(count) == 2
    with three.write() as session:
        activate(session, _id(three, SHIPPED), "cli:anna")
        again = activate(session, _id(three, CANDIDATE), "cli:anna")
    with three.read() as session:
        assert troubles(session, again) == [], "what was said before it came into this state is over"
