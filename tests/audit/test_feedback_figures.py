from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from audit.feedback_figures import FeedbackFigures, Truth, in_all_sources, read_feedback_figures
from audit.models import Instance, Prediction, Role, now
from audit.session import Database
from core.records import Outcome
from tests.audit.rows import analysed, not_analysed, positive, received
from tests.audit.test_feedback import say
from tests.audit.test_shadow_predictions import CANDIDATE_UID, shadow

POSITIVE, NEGATIVE = Outcome.POSITIVE, Outcome.NEGATIVE


def _figures(database: Database, **chosen: object) -> dict[tuple[str, str], FeedbackFigures]:
    with database.read() as session:
        rows = read_feedback_figures(session, **chosen)  # type: ignore[arg-type]
    return {(row.model.version, row.source): row.figures for row in rows}


def _only(database: Database, **chosen: object) -> FeedbackFigures:
    (figures,) = _figures(database, **chosen).values()
    return figures


def _images(database: Database, probability: float, count: int, source: str = "room-1") -> None:
    analysed(database, positive(probability), [received(source=source) for _ in range(count)])


def test_what_readers_say_is_the_truth(database: Database) -> None:
    _images(database, 0.9, 6)
    _images(database, 0.1, 4)
    analysed(database, not_analysed("lateral_view"))
    say(database, 1, "agree")
    say(database, 2, "unsure", "pneumonia")
    say(database, 3, "disagree")
    say(database, 4, "unsure")
    say(database, 5, "agree", reader="a")
    say(database, 5, "disagree", reader="b")
    say(database, 7, "agree", "no_pneumonia")
    say(database, 8, "agree")
    say(database, 9, "disagree")
    figures = _only(database)
    assert dict(figures.counts) == {
        (POSITIVE, Truth.PNEUMONIA): 2,
        (POSITIVE, Truth.NO_PNEUMONIA): 1,
        (POSITIVE, Truth.UNSURE): 1,
        (POSITIVE, Truth.DISPUTED): 1,
        (POSITIVE, Truth.UNREAD): 1,
        (NEGATIVE, Truth.NO_PNEUMONIA): 2,
        (NEGATIVE, Truth.PNEUMONIA): 1,
        (NEGATIVE, Truth.UNREAD): 1,
    }
    assert (figures.predictions, figures.with_feedback) == (10, 8)
    assert figures.sensitivity is not None
    assert (figures.sensitivity.count, figures.sensitivity.n) == (2, 3)
    assert figures.specificity is not None
    assert (figures.specificity.count, figures.specificity.n) == (2, 3)
    share = figures.read_again(POSITIVE)
    assert share is not None
    assert (share.count, share.n) == (5, 6)


def test_a_reader_may_change_their_mind_and_a_second_one_may_make_sure(database: Database) -> None:
    _images(database, 0.9, 1)
    say(database, 1, "disagree", reader="a")
    say(database, 1, "agree", reader="a")
    say(database, 1, "unsure", reader="b")
    assert dict(_only(database).counts) == {(POSITIVE, Truth.PNEUMONIA): 1}
    say(database, 1, "unsure", reader="a")
    assert dict(_only(database).counts) == {(POSITIVE, Truth.UNSURE): 1}


def test_nothing_read_again_gives_no_share(database: Database) -> None:
    assert _figures(database) == {}
    _images(database, 0.9, 2)
    figures = _only(database)
    assert (figures.predictions, figures.with_feedback, figures.sensitivity, figures.specificity) == (2, 0, None, None)
    assert figures.read_again(NEGATIVE) is None


def test_the_word_holds_for_the_image_and_so_for_every_model_that_judged_it(database: Database) -> None:
    _images(database, 0.9, 2)
    shadow(database, positive(0.1), positive(0.8))
    say(database, 1, "disagree")
    say(database, 2, "agree")
    active, tried = _only(database), _only(database, role=Role.SHADOW)
    assert dict(active.counts) == {(POSITIVE, Truth.NO_PNEUMONIA): 1, (POSITIVE, Truth.PNEUMONIA): 1}
    assert dict(tried.counts) == {(NEGATIVE, Truth.NO_PNEUMONIA): 1, (POSITIVE, Truth.PNEUMONIA): 1}
    assert _only(database, role=None, model=CANDIDATE_UID) == tried


def test_recalled_predictions_are_not_counted_but_what_was_learnt_from_them_stays(database: Database) -> None:
    _images(database, 0.9, 1)
    say(database, 1, "disagree")
    shadow(database, positive(0.1))
    with database.write() as session:
        session.execute(update(Prediction).where(Prediction.id == 1).values(recalled_at=now()))
    assert _figures(database) == {}
    assert dict(_only(database, role=Role.SHADOW).counts) == {(NEGATIVE, Truth.NO_PNEUMONIA): 1}


def test_by_source_and_by_day_of_arrival(database: Database) -> None:
    _images(database, 0.9, 2, "room-1")
    _images(database, 0.9, 3, "room-2")
    for prediction in (1, 3, 4):
        say(database, prediction, "agree")
    with database.write() as session:
        for number in range(1, 6):
            at = datetime(2026, 3, number, tzinfo=UTC)
            session.execute(update(Instance).where(Instance.id == number).values(received_at=at))
    rooms = {source: (each.with_feedback, each.predictions) for (_, source), each in _figures(database).items()}
    assert rooms == {"room-1": (1, 2), "room-2": (2, 3)}
    assert [source for _, source in _figures(database, source="room-2")] == ["room-2"]
    some = _figures(
        database, received_from=datetime(2026, 3, 2, tzinfo=UTC), received_before=datetime(2026, 3, 4, tzinfo=UTC)
    )
    assert {source: (each.with_feedback, each.predictions) for (_, source), each in some.items()} == {
        "room-1": (0, 1),
        "room-2": (1, 1),
    }
    with database.read() as session:
        ((model, role, total),) = in_all_sources(read_feedback_figures(session))
    assert (model.version, role, total.predictions, total.with_feedback) == ("1.0.0", Role.ACTIVE, 5, 3)
    assert total.sensitivity is not None
    assert total.sensitivity.interval == pytest.approx((0.4385, 1.0), abs=1e-4)  # Wilson's, of 3 of 3
