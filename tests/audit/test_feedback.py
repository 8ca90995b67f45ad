from __future__ import annotations

import pytest
from sqlalchemy import func, select, update

from audit.chain import moment
from audit.feedback import (
    Contradiction,
    FeedbackFilter,
    NotJudged,
    StudyErased,
    feedback_of,
    find_feedback,
    give_feedback,
)
from audit.models import Agreement, AuditEvent, Feedback, Prediction, Study, TrueLabel, now
from audit.session import Database
from tests.audit.databases import counted_statements
from tests.audit.rows import analysed, not_analysed, positive, received


def say(
    database: Database,
    prediction_id: int,
    agreement: str,
    true_label: str | None = None,
    *,
    reader: str = "a.reader",
    comment: str = "",
) -> int:
    """Id of the row."""
    with database.write() as session:
        given = give_feedback(
            session,
            prediction_id,
            agreement=Agreement(agreement),
            true_label=TrueLabel(true_label) if true_label else None,
            comment=comment,
            reader=reader,
            principal="reading-room",
        )
    assert given is not None
    return given.id


def _said(database: Database, prediction_id: int) -> list[tuple[str, Agreement, bool]]:
    with database.read() as session:
        found = feedback_of(session, prediction_id)
    assert found is not None
    return [(row.feedback.reader, row.feedback.agreement, row.stands) for row in found]


def test_a_later_word_of_a_reader_stands_and_every_row_stays(database: Database) -> None:
    analysed(database, positive(0.9))
    for agreement, reader in (("agree", "a"), ("unsure", "b"), ("disagree", "a")):
        say(database, 1, agreement, reader=reader)
    assert _said(database, 1) == [
        ("a", Agreement.DISAGREE, True),
        ("b", Agreement.UNSURE, True),
        ("a", Agreement.AGREE, False),
    ]


def test_it_leaves_an_event_without_the_comment(database: Database) -> None:
    (image,) = analysed(database, positive(0.2))
    row = say(database, 1, "disagree", "pneumonia", comment="Mrs Nobody, seen on CT")
    with database.read() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.kind == "feedback.given")).one()
        given = session.get_one(Feedback, row)
        assert given.comment == "Mrs Nobody, seen on CT"
    assert (event.subject, event.actor) == (image.sop_instance_uid, "reading-room")
    assert event.data == {
        "feedback": row,
        "prediction": 1,
        "agreement": "disagree",
        "true_label": "pneumonia",
        "reader": "a.reader",
        "created_at": moment(given.created_at),
    }


def test_what_was_erased_takes_no_comment_that_nothing_would_erase(database: Database) -> None:
    analysed(database)
    with database.write() as session:
        session.execute(update(Study).values(erased_at=now()))
    with pytest.raises(StudyErased, match="was erased"):
        say(database, 1, "agree", comment="Mrs Nobody")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Feedback)) == 0


def test_only_an_answer_can_be_right_or_wrong(database: Database) -> None:
    analysed(database, not_analysed("lateral_view"))
    with pytest.raises(NotJudged, match="not_analysed"):
        say(database, 1, "agree")
    with database.write() as session:
        assert give_feedback(session, 2, agreement=Agreement.AGREE, reader="a", principal="a") is None
        assert feedback_of(session, 2) is None
        assert feedback_of(session, 1) == []
        assert session.scalar(select(func.count()).select_from(Feedback)) == 0
        assert session.scalar(select(func.count()).where(AuditEvent.kind == "feedback.given")) == 0


@pytest.mark.parametrize(
    ("probability", "agreement", "true_label", "holds"),
    [
        (0.9, "agree", "pneumonia", True),
        (0.9, "agree", "no_pneumonia", False),
        (0.9, "disagree", "no_pneumonia", True),
        (0.9, "disagree", "pneumonia", False),
        (0.1, "agree", "pneumonia", False),
        (0.1, "disagree", "pneumonia", True),
        (0.1, "unsure", "pneumonia", True),  # not from this radiograph, but known from elsewhere
    ],
)
def test_the_label_must_not_contradict_the_agreement(
    database: Database, probability: float, agreement: str, true_label: str, holds: bool
) -> None:
    analysed(database, positive(probability))
    if holds:
        say(database, 1, agreement, true_label)
        return
    with pytest.raises(Contradiction, match="does not go with"):
        say(database, 1, agreement, true_label)


def test_filters_compose_and_pages_follow_one_another(database: Database) -> None:
    analysed(database, positive(0.9), [received(source=f"room-{place % 2}") for place in range(4)])
    for prediction in (1, 2, 3, 4):
        say(database, prediction, "agree", reader="a")
    say(database, 4, "disagree", "no_pneumonia", reader="a")

    def ids(**chosen: object) -> list[int]:
        with database.read() as session:
            rows = find_feedback(session, FeedbackFilter(**chosen), limit=10)  # type: ignore[arg-type]
        return [row.feedback.id for row in rows]

    assert ids() == [5, 4, 3, 2, 1]
    assert ids(stands=True) == [5, 3, 2, 1]
    assert ids(stands=False) == [4]
    assert ids(agreement=Agreement.DISAGREE) == ids(true_label=TrueLabel.NO_PNEUMONIA) == [5]
    assert ids(source="room-1", stands=True) == [5, 2]
    assert ids(model="mobilenet_v2", prediction_id=2) == [2]
    assert ids(model="another") == ids(reader="b") == ids(received_before=now().replace(year=2020)) == []
    with database.write() as session:  # rows of one moment are told apart by their ids
        session.execute(update(Feedback).values(created_at=now()))
    with database.read() as session:
        first = find_feedback(session, FeedbackFilter(), limit=2)
        last = first[-1].feedback
        rest = find_feedback(session, FeedbackFilter(), limit=9, after=(last.created_at, last.id))
    assert [row.feedback.id for row in first + rest] == [5, 4, 3, 2, 1]


def test_a_list_is_one_statement(database: Database) -> None:
    analysed(database, positive(0.9), [received() for _ in range(5)])
    with database.read() as session:
        ids = session.scalars(select(Prediction.id)).all()
    for each in ids:
        say(database, each, "agree")
    with database.read() as session, counted_statements(database.engine) as statements:
        rows = find_feedback(session, FeedbackFilter(), limit=50)
        named = {row.feedback.prediction.instance.source.name for row in rows}
        versions = {row.feedback.prediction.model_version.version for row in rows}
    assert (len(rows), named, versions) == (5, {"room-1"}, {"1.0.0"})
    assert len(statements) == 1
