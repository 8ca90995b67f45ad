from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from audit.comparison import Change, Status
from audit.drift import DriftReport, read_drift
from audit.models import ModelVersion, Prediction, Role
from audit.session import Database
from audit.tallies import Days
from core.records import Analysis
from tests.audit.history import refused, scores, seed, week
from tests.audit.rows import positive

TODAY = week(6) + timedelta(days=2)


def _read(database: Database, **how: Any) -> DriftReport:
    with database.read() as session:
        report = read_drift(session, today=TODAY, **how)
    assert report is not None
    return report


def _four_weeks(database: Database, source: str) -> None:
    for number in range(4):
        seed(database, source, week(number), scores(25, seed=number))


def test_before_any_prediction_there_is_no_report(database: Database) -> None:
    with database.read() as session:
        assert read_drift(session, today=TODAY) is None


def test_a_source_that_drifts_is_told_from_a_steady_one(database: Database) -> None:
    for source, shift in (("steady", 0.0), ("drifting", 0.12)):
        _four_weeks(database, source)
        seed(database, source, week(5), scores(60, seed=9, shift=shift))
    report = _read(database)
    assert report.window == Days(week(5), week(6) - timedelta(days=1))
    drifting, steady = report.sources
    assert (drifting.source, drifting.comparison.status) == ("drifting", Status.DRIFT)
    assert Change.SCORES in {warning.change for warning in drifting.comparison.warnings}
    assert steady.comparison.status is Status.STEADY
    assert steady.comparison.warnings == ()
    assert steady.comparison.stability is not None
    assert steady.comparison.stability.psi < steady.comparison.stability.by_chance
    assert drifting.comparison.stability is not None
    assert drifting.comparison.stability.psi > 2 * steady.comparison.stability.psi
    assert steady.reference is not None
    assert steady.reference.days == Days(week(0), week(4) - timedelta(days=1))
    assert [period.days.first for period in steady.periods] == [week(number) for number in (0, 1, 2, 3, 5)]


def test_one_stretch_is_counted_in_full(database: Database) -> None:
    analyses: list[Analysis] = [positive(0.9, "near_threshold", "age_unknown"), positive(0.95, "age_unknown")]
    seed(database, "room-1", week(5), [*analyses, positive(0.2), positive(1.0), *refused(2, "lateral_view")])
    (source,) = _read(database).sources
    tally = source.window.tally
    assert (tally.images, tally.scored, tally.positive.count) == (6, 4, 3)
    assert tally.warnings == Counter(age_unknown=2, near_threshold=1)
    assert tally.reasons == Counter(lateral_view=2)
    assert tally.score(0.0) == pytest.approx(0.2, abs=0.01)
    assert tally.score(0.5) == pytest.approx(0.9, abs=0.01)
    assert tally.score(1.0) == 1.0


def test_a_source_that_is_suddenly_refused_is_found_without_scores(database: Database) -> None:
    _four_weeks(database, "room-1")
    seed(database, "room-1", week(5), refused(50, "lateral_view"))
    (source,) = _read(database).sources
    assert [warning.change for warning in source.comparison.warnings] == [Change.NOT_ANALYSED_RATE]
    assert source.comparison.status is Status.DRIFT
    assert "0 in the window" in source.comparison.unmet


def test_a_source_that_fell_silent_is_a_warning(database: Database) -> None:
    _four_weeks(database, "room-1")
    (source,) = _read(database).sources
    assert [warning.change for warning in source.comparison.warnings] == [Change.SILENT]


def test_too_few_images_are_not_compared(database: Database) -> None:
    seed(database, "room-1", week(0), scores(10, seed=0))
    seed(database, "room-1", week(5), scores(10, seed=1))
    (source,) = _read(database).sources
    assert source.reference is None
    assert source.comparison.status is Status.NOT_COMPARED
    (asked,) = _read(database, reference=Days(week(0), week(1))).sources
    assert "10 scored images in the reference" in asked.comparison.unmet


def test_another_models_scores_are_not_mixed_in(database: Database) -> None:
    seed(database, "room-1", week(4), scores(20, seed=0), device_uid="2.25.11")
    seed(database, "room-1", week(5), scores(30, seed=1), device_uid="2.25.22")
    latest, older = _read(database), _read(database, model="2.25.1")
    assert (latest.model.device_uid, latest.sources[0].window.tally.images) == ("2.25.22", 30)
    assert (older.model.device_uid, older.sources[0].window.tally.images) == ("2.25.11", 0)


def test_what_a_model_judged_in_shadow_is_left_out(database: Database) -> None:
    seed(database, "room-1", week(5), scores(3, seed=0), device_uid="2.25.11")
    seed(database, "room-1", week(5), scores(4, seed=1), device_uid="2.25.22")
    with database.write() as session:
        shadow = select(ModelVersion.id).where(ModelVersion.device_uid == "2.25.22").scalar_subquery()
        session.execute(update(Prediction).where(Prediction.model_version_id == shadow).values(role=Role.SHADOW))
    report = _read(database)
    assert (report.model.device_uid, report.sources[0].window.tally.images) == ("2.25.11", 3)
    assert _read(database, model="2.25.22").sources == ()


def test_days_as_periods(database: Database) -> None:
    for day in range(3):
        seed(database, "room-1", week(5) + timedelta(days=day), scores(4 + day, seed=day))
    (source,) = _read(database, stretch=1).sources
    assert [(period.days.length, period.tally.images) for period in source.periods] == [(1, 4), (1, 5), (1, 6)]
    assert source.window.tally.images == 15


def test_mistakes_are_explained(database: Database) -> None:
    seed(database, "room-1", week(5), scores(3, seed=0), device_uid="2.25.11")
    seed(database, "room-2", week(5), scores(3, seed=0), device_uid="2.25.12")
    for how, words in (
        ({"source": "room-9"}, "it knows: room-2"),
        ({"model": "2.25.7"}, "no model has"),
        ({"model": "2.25.1"}, "more than one model"),
        ({"reference": Days(week(5), week(6))}, "must not share a day"),
    ):
        with pytest.raises(ValueError, match=words):
            _read(database, **how)


def test_what_is_fetched_does_not_grow_with_the_images(database: Database) -> None:
    few = [positive(0.9, "near_threshold"), positive(0.2), *refused(1, "lateral_view")]
    seed(database, "room-1", week(5), few)
    rows_of_few = _rows_fetched(database)
    seed(database, "room-1", week(5), few * 20)
    assert _rows_fetched(database) == rows_of_few


def _rows_fetched(database: Database) -> list[int]:
    """By every statement of a report: each is asked once more for its rows."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    _read(database)
    event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        return [len(connection.exec_driver_sql(*statement).all()) for statement in asked]
