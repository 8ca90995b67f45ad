from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import InvalidRequestError

from audit.event_listing import EventFilter, find_events
from audit.events import record_event
from audit.listing import Page
from audit.models import Instance, Prediction, Severity, now
from audit.prediction_filter import PredictionFilter
from audit.queries import delivery_states, find_predictions, get_prediction
from audit.session import Database
from audit.study_listing import get_study
from core.records import Outcome
from tests.audit.databases import counted_statements
from tests.audit.rows import MODEL, analysed, book, not_analysed, positive, received, report

_DAY = datetime(2026, 3, 2, tzinfo=UTC)


def _found(database: Database, **chosen: object) -> list[Prediction]:
    with database.read() as session:
        return find_predictions(session, PredictionFilter(**chosen), Page(100))  # type: ignore[arg-type]


def _patients(database: Database, **chosen: object) -> list[str]:
    return sorted(row.instance.patient_id for row in _found(database, **chosen))


@pytest.fixture
def several(database: Database) -> Database:
    """Four patients, each with an image that differs from the others in what can be filtered by."""
    analysed(database, positive(0.9, "low_resolution"), [received(patient_id="A", study_instance_uid="1.1")])
    analysed(database, positive(0.1), [received(patient_id="B", issuer_of_patient_id="CLINIC", source="room-2")])
    analysed(database, not_analysed("lateral_view"), [received(patient_id="C")])
    analysed(
        database,
        positive(0.8),
        [received(patient_id="D")],
        model=replace(MODEL, name="densenet121"),
        device_uid="2.25.99",
    )
    with database.write() as session:
        for days, row in enumerate(session.scalars(select(Prediction).order_by(Prediction.id))):
            row.created_at = _DAY + timedelta(days=days)
            session.execute(
                update(Instance).where(Instance.id == row.instance_id).values(received_at=_DAY - timedelta(days=days))
            )
    return database


@pytest.mark.parametrize(
    ("chosen", "patients"),
    [
        ({}, "ABCD"),
        ({"patient_id": "A"}, "A"),
        ({"patient_id": "a"}, ""),
        ({"patient_id": "B", "issuer_of_patient_id": "CLINIC"}, "B"),
        ({"patient_id": "B", "issuer_of_patient_id": "HOSPITAL"}, ""),
        ({"study_instance_uid": "1.1"}, "A"),
        ({"outcome": Outcome.POSITIVE}, "AD"),
        ({"outcome": Outcome.NOT_ANALYSED}, "C"),
        ({"warning": "low_resolution"}, "A"),
        ({"warning": "lateral_view"}, ""),
        ({"reason": "lateral_view"}, "C"),
        ({"model": "densenet121"}, "D"),
        ({"model": "2.25.99"}, "D"),
        ({"source": "room-2"}, "B"),
        ({"created_from": _DAY + timedelta(days=1)}, "BCD"),
        ({"created_before": _DAY + timedelta(days=1)}, "A"),
        ({"created_from": _DAY + timedelta(days=1), "created_before": _DAY + timedelta(days=3)}, "BC"),
        ({"received_from": _DAY - timedelta(days=1)}, "AB"),
        ({"received_before": _DAY}, "BCD"),
        ({"outcome": Outcome.POSITIVE, "model": "mobilenet_v2", "source": "room-1"}, "A"),
    ],
)
def test_filters_compose(several: Database, chosen: dict[str, object], patients: str) -> None:
    assert _patients(several, **chosen) == list(patients)


def test_the_same_patient_id_of_two_issuers_is_told_apart(database: Database) -> None:
    for issuer in ("HOSPITAL", "CLINIC"):
        analysed(database, instances=[received(patient_id="SAME", issuer_of_patient_id=issuer)])
    assert len(_found(database, patient_id="SAME")) == 2
    (row,) = _found(database, patient_id="SAME", issuer_of_patient_id="CLINIC")
    assert row.instance.issuer_of_patient_id == "CLINIC"


def test_pages_are_whole_and_newest_first_while_rows_arrive(database: Database) -> None:
    analysed(database, instances=[received() for _ in range(10)])
    with database.write() as session:  # many of one moment: the id decides
        session.execute(update(Prediction).where(Prediction.id > 4).values(created_at=_DAY))
    expected = [(row.created_at, row.id) for row in _found(database)]
    assert expected == sorted(expected, reverse=True)
    walked: list[tuple[datetime, int]] = []
    while True:
        with database.read() as session:
            after = walked[-1] if walked else None
            page = find_predictions(session, PredictionFilter(), Page(3, after=after))
        if not page:
            break
        walked += [(row.created_at, row.id) for row in page]
        analysed(database)
    assert walked == expected


def test_a_page_costs_the_same_statements_however_long_it_is(several: Database) -> None:
    analysed(several, positive(0.7, "age_unknown"), [received() for _ in range(20)], destinations=("pacs", "archive"))
    counts = []
    for limit in (1, 24):
        with counted_statements(several.engine) as statements, several.read() as session:
            rows = find_predictions(session, PredictionFilter(), Page(limit))
            for row in rows:
                assert row.instance.study.patient_id
                assert row.instance.source.name
                assert row.model_version.name
                assert all(remark.code for remark in row.warnings)
            assert len(delivery_states(session, [row.id for row in rows])) == limit
        assert len(rows) == limit
        counts.append(len(statements))
    assert counts == [6, 6], "ids, rows with parents, warnings, pictures, feedback, states"


def test_what_was_not_loaded_raises_instead_of_asking_again(several: Database) -> None:
    with several.read() as session:
        row = find_predictions(session, PredictionFilter(), Page(1))[0]
        with pytest.raises(InvalidRequestError, match="raise"):
            row.instance.job  # noqa: B018 - the access is the test


def test_one_prediction_comes_with_everything(database: Database) -> None:
    analysed(database, positive(0.9, "low_resolution"))
    with counted_statements(database.engine) as statements, database.read() as session:
        row = get_prediction(session, 1)
        assert row is not None
        assert [(remark.severity, remark.code) for remark in row.warnings] == [(Severity.WARNING, "low_resolution")]
        assert len([delivery for built in row.result_objects for delivery in built.deliveries]) == 2
        assert get_prediction(session, 999) is None
    assert len(statements) == 7


def test_a_study_shows_images_that_wait_too(database: Database) -> None:
    (first,) = analysed(database)
    waiting = [book(database, received(study_instance_uid=first.study_instance_uid)) for _ in range(5)]
    with counted_statements(database.engine) as statements, database.read() as session:
        study = get_study(session, first.study_instance_uid)
        assert study is not None
        assert [instance.sop_instance_uid for instance in study.instances] == [
            image.sop_instance_uid for image in [first, *waiting]
        ]
        assert [len(instance.predictions) for instance in study.instances] == [1, 0, 0, 0, 0, 0]
        assert [instance.job.state for instance in study.instances] == ["done"] + ["pending"] * 5
        assert get_study(session, "1.2.3") is None
    assert len(statements) == 9, "study, images, answers, warnings, pictures, feedback, results, deliveries; none"


def test_events_are_paged_and_filtered(database: Database) -> None:
    analysed(database)
    report(database)
    start = now()
    for number in range(5):
        with database.write() as session:
            record_event(session, "association.refused", subject="", actor=f"STRANGER{number}")
    with database.read() as session:
        refused = find_events(session, EventFilter(kind="association.refused"), Page(3))
        assert [row.actor for row in refused] == ["STRANGER4", "STRANGER3", "STRANGER2"]
        rest = find_events(session, EventFilter(kind="association.refused"), Page(3, after=(0.0, refused[-1].id)))
        assert [row.actor for row in rest] == ["STRANGER1", "STRANGER0"]
        assert len(find_events(session, EventFilter(since=start), Page(100))) == 5
        assert [row.kind for row in find_events(session, EventFilter(subject="1.2.3"), Page(100))] == []
