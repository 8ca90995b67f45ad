"""The books are held against the events: what was changed, removed or slipped in is found, and what is right is not."""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from audit.chain import GENESIS, digest
from audit.deliveries import DeliveryFilter, claim_deliveries, mark_dead, mark_sent, requeue_deliveries
from audit.events import record_event
from audit.feedback import give_feedback
from audit.inference_jobs import facts
from audit.models import Agreement, AuditEvent, ChainHead, Delivery, ModelVersion, Prediction
from audit.recalls import Recall, mark_recalled
from audit.session import Database
from audit.verification import Verification
from tests.audit.long_life import live
from tests.audit.rows import DEVICE_UID, MODEL, analysed, book, not_analysed, positive, received, report
from tests.audit.tampering import behind_the_triggers, tamper, tampered, verify
from tests.audit.test_shadow_predictions import CANDIDATE, CANDIDATE_UID


def _found(database: Database, event_id: int | None, words: str) -> None:
    fault = verify(database).first_bad
    assert fault is not None, "nothing was found"
    assert (fault.id, words in fault.why) == (event_id, True), fault


@pytest.fixture
def said(database: Database) -> Database:
    """Two images of a study, one of them judged, with results and a reader's word."""
    (image,) = analysed(database, positive(0.9, "low_resolution"))
    analysed(database, not_analysed("lateral_view"), [received(study_instance_uid=image.study_instance_uid)])
    report(database)
    with database.write() as session:
        judged = session.query(Prediction).where(Prediction.probability.is_not(None)).one()
        give_feedback(session, judged.id, agreement=Agreement.AGREE, reader="dr.who", principal="key")
    return database


def test_books_that_say_what_the_events_say_are_whole(said: Database) -> None:
    found = verify(said)
    assert found.whole, found.first_bad
    assert found.books == {
        "images": 2, "predictions": 2, "older_predictions": 0, "pictures": 2, "withdrawals": 0, "destinations": 2,
        "deliveries": 0, "feedback": 1, "erasures": 0, "models": 1, "keys": 0,
    }  # fmt: skip


def test_a_changed_answer_is_found(said: Database) -> None:
    for table, row_id, change in (
        ("predictions", 1, "probability = 0.1"), ("predictions", 1, "voi = 'none'"),
        ("predictions", 1, "outcome = 'negative'"), ("predictions", 1, "role = 'shadow'"),
        ("predictions", 1, "created_at = '2020-01-01 00:00:00'"), ("result_objects", 1, "sha256 = 'ef'"),
        ("warnings", 1, "code = 'nothing'"), ("warnings", 2, "code = 'nothing'"),
        ("feedback", 1, "agreement = 'disagree'"), ("feedback", 1, "reader = 'dr.no'"),
        ("feedback", 1, "prediction_id = 2"), ("feedback", 1, "principal = 'somebody'"),
        ("feedback", 1, "created_at = '2020-01-01 00:00:00'"),
    ):  # fmt: skip
        with tampered(said, table, row_id, change):
            fault = verify(said).first_bad
            assert fault is not None, change
            assert "which was changed in the books" in fault.why, change
            with said.read() as session:
                assert fault.id is not None
                assert session.get_one(AuditEvent, fault.id).kind.startswith(("prediction.", "feedback."))
    assert verify(said).whole


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM warnings WHERE severity = 'reason'", "reasons"),
        ("DELETE FROM feedback", "feedback 1, which is gone"),
    ],
)
def test_a_removed_reason_or_word_is_found(said: Database, statement: str, words: str) -> None:
    tamper(said, statement)
    fault = verify(said).first_bad
    assert fault is not None
    assert words in fault.why


def test_a_removed_prediction_is_found(said: Database) -> None:
    theirs = "(SELECT id FROM predictions WHERE outcome = 'positive')"
    tamper(
        said,
        f"DELETE FROM feedback WHERE prediction_id IN {theirs}",
        f"DELETE FROM warnings WHERE prediction_id IN {theirs}",
        f"UPDATE result_objects SET prediction_id = NULL WHERE prediction_id IN {theirs}",
        "DELETE FROM predictions WHERE outcome = 'positive'",
    )
    fault = verify(said).first_bad
    assert fault is not None
    assert "prediction 1, which is gone" in fault.why


def test_a_prediction_and_a_word_that_no_event_tells_of_are_found(said: Database) -> None:
    tamper(said, "INSERT INTO feedback SELECT 99, prediction_id, agreement, true_label, comment, reader, principal,"
           " created_at FROM feedback")  # fmt: skip
    _found(said, None, "feedback 99 stands in the books")
    columns = "instance_id, model_version_id, outcome, stage_seconds, created_at"
    tamper(
        said,
        f"INSERT INTO predictions (id, role, recalled_at, {columns}) SELECT 99, 'active', created_at, {columns}"
        " FROM predictions WHERE id = 1",
    )
    _found(said, None, "prediction 99 stands in the books")


def test_a_prediction_from_before_events_said_so_much_is_counted(database: Database) -> None:
    (image,) = analysed(database)
    tamper(database, "DELETE FROM audit_events", f"UPDATE chain_head SET event_id = 0, hash = '{GENESIS}', events = 0")
    with database.write() as session:
        record_event(session, "instance.received", subject=image.sop_instance_uid)
        record_event(session, "model.registered", subject=DEVICE_UID, name=MODEL.name, version=MODEL.version)
        record_event(session, "prediction.positive", subject=image.sop_instance_uid, attempts=1, reasons=[])
    found = verify(database)
    assert (found.whole, found.books["predictions"], found.books["older_predictions"]) == (True, 0, 1)


@pytest.fixture
def delivered(database: Database) -> Database:
    """Four deliveries: one confirmed, one sent, one dead, one that was dead and waits again."""
    analysed(database, destinations=("pacs", "archive"))
    report(database)
    with database.write() as session:
        confirmed, sent = claim_deliveries(session, 2, 60)
        dead, requeued = claim_deliveries(session, 2, 60)
        assert {confirmed.destination, dead.destination} == {"pacs", "archive"}
        mark_sent(session, confirmed, 0, confirmed=True)
        mark_sent(session, sent, 0)
        for each in (dead, requeued):
            mark_dead(session, each, "sop_class_not_supported", 0x0122)
        assert requeue_deliveries(session, DeliveryFilter(ids=[requeued.id]), "cli:someone") == [requeued.id]
    return database


def test_what_became_of_a_result_is_known_by_its_last_event(delivered: Database) -> None:
    found = verify(delivered)
    assert found.whole, found.first_bad
    assert found.books["deliveries"] == 6
    with delivered.read() as session:
        states = {row.id: row.state for row in session.query(Delivery)}
    assert sorted(states.values()) == ["confirmed", "dead", "pending", "sent"]
    for row_id, state in states.items():
        for other in {*states.values()} - {state}:
            with tampered(delivered, "deliveries", row_id, f"state = '{other}'"):
                _found(delivered, None, f"delivery {row_id} is {other} in the books, and {state} by its last event")
    with tampered(delivered, "deliveries", 1, "destination = 'elsewhere'"):
        fault = verify(delivered).first_bad
        assert fault is not None
        assert "which is gone from the books" in fault.why
    assert verify(delivered).whole


def test_a_dead_letter_that_was_thrown_away_is_found(delivered: Database) -> None:
    tamper(delivered, "DELETE FROM deliveries WHERE state = 'dead'")
    fault = verify(delivered).first_bad
    assert fault is not None
    assert "gone from the books" in fault.why
    with delivered.read() as session:
        assert fault.id is not None
        assert session.get_one(AuditEvent, fault.id).kind == "prediction.positive"


def test_an_image_that_nobody_analysed_is_missed_too(database: Database) -> None:
    first, second = book(database), book(database)
    with tampered(database, "instances", 1, "sha256 = 'ef'"):
        _found(database, None, "image 1 has another digest in the books")
    tamper(database, "DELETE FROM jobs WHERE id = 2", "DELETE FROM instances WHERE id = 2")
    _found(database, 2, f"image {second.sop_instance_uid}, which is gone")
    tamper(database, f"UPDATE instances SET sop_instance_uid = '{second.sop_instance_uid}' WHERE id = 1")
    _found(database, 1, f"image {first.sop_instance_uid}, which is gone")


def test_an_image_that_no_event_tells_of_is_found(database: Database) -> None:
    book(database)
    columns = "study_id, source_id, sop_class_uid, series_instance_uid, transfer_syntax_uid, modality, patient_id,"
    columns += " issuer_of_patient_id, calling_ae_title, called_ae_title, peer_address, spool_name, sha256, size_bytes,"
    columns += " received_at"
    tamper(
        database, f"INSERT INTO instances (id, sop_instance_uid, {columns}) SELECT 9, '1.9', {columns} FROM instances"
    )
    _found(database, None, "image 9 stands in the books, and no event tells of it")


@pytest.fixture
def recalled(database: Database) -> Database:
    """Two answers, of which the first is withdrawn before its results went out."""
    analysed(database)
    report(database)
    with database.write() as session:
        assert mark_recalled(session, Recall(1), [1], "cli:someone").stopped == 2
    analysed(database, model=CANDIDATE, device_uid=CANDIDATE_UID)
    return database


def test_what_is_withdrawn_stays_withdrawn(recalled: Database) -> None:
    found = verify(recalled)
    assert found.whole, found.first_bad
    assert found.books["withdrawals"] == 1
    with tampered(recalled, "predictions", 1, "recalled_at = NULL"):
        fault = verify(recalled).first_bad
        assert fault is not None
        assert fault.why == "withdraws prediction 1, which stands in the books as if it held"
    with tampered(recalled, "predictions", 2, "recalled_at = created_at"):
        _found(recalled, None, "prediction 2 is withdrawn in the books, and no event tells of it")
    assert verify(recalled).whole


def test_a_recall_from_before_events_named_predictions_holds(recalled: Database) -> None:
    with recalled.read() as session:
        study = session.get_one(Prediction, 1).instance.study.study_instance_uid
    tamper(recalled, "DELETE FROM audit_events WHERE kind = 'prediction.recalled'")
    _rechain(recalled)
    _found(recalled, None, "prediction 1 is withdrawn in the books")
    with recalled.write() as session:
        record_event(session, "prediction.recalled", subject=study, images=1)
    assert verify(recalled).whole


def _rechain(database: Database, *forgotten: str) -> None:
    """As a forger would who is not held against an anchor: the whole chain anew; without some keys of their data."""
    with database.read() as session:
        events = list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
        session.expunge_all()
    previous = GENESIS
    with behind_the_triggers(database) as connection:
        for event in events:
            event.data = {key: value for key, value in event.data.items() if key not in forgotten}
            event.previous = previous
            event.hash = previous = digest(event)
            changed = {"data": event.data, "previous": event.previous, "hash": event.hash}
            connection.execute(update(AuditEvent).where(AuditEvent.id == event.id).values(changed))
        end = {"event_id": events[-1].id, "hash": previous, "events": len(events)}
        connection.execute(update(ChainHead).values(end))


def test_a_life_from_before_events_said_so_much_is_whole(database: Database) -> None:
    live(database)
    tamper(database, "DELETE FROM audit_events WHERE kind = 'study.concluded'")
    younger = ("study", "series", "source", "received_at", "created_at", "pictures", "deliveries", "fingerprint")
    _rechain(
        database, *younger, *(key for key in facts(ModelVersion(preprocessing="")) if key not in {"name", "version"})
    )
    found = verify(database)
    assert found.whole, found.first_bad
    assert (found.books["pictures"], found.books["destinations"], found.books["predictions"]) == (0, 2, 14)


def test_what_is_written_while_it_walks_is_no_fault(delivered: Database) -> None:
    walk = Verification(delivered)
    analysed(delivered)
    with delivered.write() as session:
        assert mark_recalled(session, Recall(1), [1, 2], "cli:someone").images == 2
    while walk.step():
        pass
    assert walk.findings().whole, walk.findings().first_bad
