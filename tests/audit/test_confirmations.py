from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from audit.commitments import (
    NO_SUCH_INSTANCE,
    Holding,
    book_request,
    claim_requests,
    look_up,
    mark_answered,
    mark_answered_at_once,
    mark_lost_requests,
    mark_unanswerable,
    retry_answer,
)
from audit.confirmations import (
    Question,
    absent,
    claim_questions,
    confirm,
    mark_lost_questions,
    note_transaction,
    settle_commitment,
    unknown,
)
from audit.deliveries import DeliveryFilter, claim_deliveries, mark_sent, requeue_deliveries
from audit.models import AuditEvent, CommitmentRequest, CommitmentState, Delivery, Prediction, now
from audit.session import Database
from core.destinations import DICOMDestination
from core.errors import LeaseLost
from core.records import DeliveryState
from tests.audit.rows import analysed, book, report, results_of

PACS = DICOMDestination(name="pacs", ae_title="PACS", host="pacs", most_repeats=1, confirm_after_seconds=60)


def _sent(database: Database, *destinations: str) -> None:
    """Two objects for each destination, sent, and due to be asked for."""
    analysed(database, destinations=destinations)
    report(database)
    _send(database)


def _send(database: Database) -> None:
    with database.write() as session:
        while jobs := claim_deliveries(session, 32, 60):
            for job in jobs:
                mark_sent(session, job, 0x0000, confirm_after_seconds=0)


def _claim(database: Database) -> list[Question]:
    with database.write() as session:
        return claim_questions(session, 32, 60)


def _row(database: Database, delivery_id: int) -> Delivery:
    with database.read() as session:
        return session.get_one(Delivery, delivery_id)


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


def _travel(database: Database, hours: float) -> None:
    """Everything happened so much earlier."""
    with database.write() as session:
        for row in session.scalars(select(Delivery)):
            row.sent_at = (row.sent_at or now()) - timedelta(hours=hours)
            row.confirm_at = now()


def test_a_destination_is_asked_by_one_worker_about_what_it_took(database: Database) -> None:
    (image,) = analysed(database, destinations=("pacs", "archive"))
    report(database)
    assert _claim(database) == [], "nothing has been sent"
    _send(database)
    first, second = _claim(database), _claim(database)
    assert _claim(database) == []
    assert sorted({each[0].destination for each in (first, second)}) == ["archive", "pacs"]
    assert [question.study_instance_uid for question in first] == [image.study_instance_uid] * 2
    with database.write() as session:
        confirm(session, first[0])
    row = _row(database, first[0].id)
    assert (row.state, row.confirm_at, row.token) == (DeliveryState.CONFIRMED, None, None)
    assert row.confirmed_at is not None
    (event,) = _events(database, "delivery.confirmed")
    assert event.subject == first[0].sop_instance_uid
    with pytest.raises(LeaseLost), database.write() as session:
        confirm(session, first[0])


def test_what_is_not_there_is_sent_again_and_then_dead(database: Database) -> None:
    _sent(database, "pacs")
    question = _claim(database)[0]
    with database.write() as session:
        absent(session, question, PACS)
    row = _row(database, question.id)
    assert (row.state, row.repeats, row.attempts, row.confirm_at) == (DeliveryState.PENDING, 1, 0, None)
    assert _events(database, "delivery.absent")[0].data["repeats"] == 1
    _send(database)
    with database.write() as session:
        session.execute(update(Delivery).values(lease_until=None))
    again = next(each for each in _claim(database) if each.id == question.id)
    with database.write() as session:
        absent(session, again, PACS)
    row = _row(database, question.id)
    assert (row.state, row.last_error) == (DeliveryState.DEAD, "not_in_pacs")
    assert _events(database, "delivery.dead")[0].data["code"] == "not_in_pacs"
    with database.write() as session:
        requeue_deliveries(session, DeliveryFilter(ids=[question.id]), "cli:someone")
    row = _row(database, question.id)
    assert (row.state, row.repeats) == (DeliveryState.PENDING, 0)


def test_what_was_recalled_is_not_sent_again(database: Database) -> None:
    _sent(database, "pacs")
    question = _claim(database)[0]
    with database.write() as session:
        session.execute(update(Prediction).values(recalled_at=now()))
        absent(session, question, PACS)
    row = _row(database, question.id)
    assert (row.state, row.last_error) == (DeliveryState.DEAD, "recalled")


def test_who_does_not_answer_is_asked_ever_later_and_reported_in_the_end(database: Database) -> None:
    _sent(database, "pacs")
    for hours, pause_minutes in ((0, 1), (1, 60), (23.5, 30)):
        _travel(database, hours)
        if hours == 23.5:
            _travel(database, -1)
        question = min(_claim(database), key=lambda each: each.id)
        with database.write() as session:
            unknown(session, question, PACS, "no_association")
            session.execute(update(Delivery).values(lease_until=None))
        row = _row(database, question.id)
        assert row.confirm_at is not None
        assert _minutes_until(row.confirm_at) == pytest.approx(pause_minutes, abs=1)
        assert (row.state, row.last_error) == (DeliveryState.SENT, "no_association")
    _travel(database, 1)
    question = min(_claim(database), key=lambda each: each.id)
    with database.write() as session:
        unknown(session, question, PACS, None)
    row = _row(database, question.id)
    assert (row.state, row.confirm_at, row.last_error) == (DeliveryState.SENT, None, "unconfirmed")
    assert len(_events(database, "delivery.unconfirmed")) == 1


def _minutes_until(at: datetime) -> float:
    return (at - now()).total_seconds() / 60


def test_a_report_of_commitment_settles_what_it_names_once(database: Database) -> None:
    for _ in range(2):
        analysed(database, destinations=("pacs",))
    report(database)
    _send(database)
    questions = _claim(database)
    with database.write() as session:
        assert len(note_transaction(session, questions, "2.25.7")) == 4
    here, gone, never, unnamed = questions
    failed = {gone.sop_instance_uid: NO_SUCH_INSTANCE, never.sop_instance_uid: 0x0122}

    def settle(transaction_uid: str = "2.25.7", name: str = "pacs") -> bool:
        with database.write() as session:
            return settle_commitment(session, transaction_uid, {here.sop_instance_uid}, failed, {name: PACS})

    assert not settle(transaction_uid="2.25.8")
    assert not settle(name="other"), "a destination speaks for itself alone"
    assert settle()
    assert settle(), "a report that is repeated changes nothing"
    states = [_row(database, each.id).state for each in (here, gone, never, unnamed)]
    sent = DeliveryState.SENT
    assert states == [DeliveryState.CONFIRMED, DeliveryState.PENDING, sent, sent]
    assert _row(database, gone.id).repeats == 1
    assert (_row(database, never.id).confirm_at, _row(database, never.id).last_error) == (None, "unconfirmed")
    with pytest.raises(LeaseLost), database.write() as session:
        unknown(session, here, PACS, None)
    with database.write() as session:
        unknown(session, unnamed, PACS, None)
    assert [len(_events(database, f"delivery.{what}")) for what in ("confirmed", "absent", "unconfirmed")] == [1, 1, 1]


def test_a_question_without_a_message_gets_one(database: Database) -> None:
    with database.write() as session:
        assert mark_lost_questions(session, 30) is None
    _sent(database, "pacs")
    with database.write() as session:
        assert mark_lost_questions(session, 30) is not None
        assert mark_lost_questions(session, 30) is None, "its message lives"
        assert mark_lost_questions(session, -1) is not None


def _book(database: Database, transaction_uid: str, *references: tuple[str, str], **more: float) -> CommitmentRequest:
    with database.write() as session:
        return book_request(
            session, transaction_uid=transaction_uid, source="room-1", calling_ae_title="XRAY1",
            called_ae_title="PNEUMO", references=references, **more,
        )  # fmt: skip


def test_a_modality_is_told_what_is_held(database: Database) -> None:
    ours = results_of(analysed(database)[0].sop_instance_uid)[0]
    image = book(database)
    held = (image.sop_class_uid, image.sop_instance_uid)
    own_result = (ours.sop_class_uid, ours.sop_instance_uid)
    other_class, stranger = ("1.2.3", image.sop_instance_uid), (image.sop_class_uid, "1.2.3.4")
    _book(database, "2.25.1", held, own_result, other_class, stranger)
    with database.write() as session:
        (job,) = claim_requests(session, 32, 60)
        assert claim_requests(session, 32, 60) == []
        holding = look_up(session, job.references)
        mark_answered(session, job, holding)
    assert holding == Holding((held, own_result), ((*other_class, 0x0119), (*stranger, NO_SUCH_INSTANCE)))
    assert [event.actor for event in _events(database, "commitment.requested")] == ["XRAY1"]
    assert [event.data for event in _events(database, "commitment.answered")] == [{"held": 2, "missing": 2}]


def test_a_request_stays_due_until_it_is_answered_and_is_answered_again_when_repeated(database: Database) -> None:
    row = _book(database, "2.25.1", ("1.2", "1.2.3"))
    _book(database, "2.25.2", ("1.2", "1.2.3"), due_in_seconds=60)
    with database.write() as session:
        assert mark_lost_requests(session, 30) == row.id
        assert mark_lost_requests(session, 30) is None
        (job,) = claim_requests(session, 32, 60)
        retry_answer(session, job, "no_association", 0)
        (job,) = claim_requests(session, 32, 60)
        mark_unanswerable(session, job, "gave_up")
        assert claim_requests(session, 32, 60) == []
    assert job.attempts == 2
    again = _book(database, "2.25.1", ("1.2", "1.2.3"))
    assert (again.id, again.state) == (row.id, CommitmentState.PENDING)
    with database.write() as session:
        mark_answered_at_once(session, again.id, Holding((), ()))
        assert claim_requests(session, 32, 60) == []
        assert session.get_one(CommitmentRequest, again.id).state is CommitmentState.ANSWERED
