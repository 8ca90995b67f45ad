from __future__ import annotations

from datetime import timedelta

import pytest

from audit import timelines
from audit.events import record_event
from audit.models import now
from audit.search import StudySearch, known_sources, search_studies, study_of_instance
from audit.session import Database
from audit.timelines import History, history_of_study
from core.records import DeliveryState, Outcome
from tests.audit.databases import counted_statements
from tests.audit.rows import analysed, book, not_analysed, positive, received, report, results_of


def _found(database: Database, **chosen: object) -> list[str]:
    with database.read() as session:
        search = StudySearch(**{"patients": True, **chosen})  # type: ignore[arg-type]
        return [found.study.study_instance_uid for found in search_studies(session, search, limit=50)]


def test_the_beginning_of_what_stands_on_the_paper(database: Database) -> None:
    wanted, other = analysed(
        database,
        instances=[
            received(patient_id="MU_4711%", accession_number="ACC-77"),
            received(patient_id="MUX4711x", accession_number="ACC-8"),
        ],
    )
    mine = [wanted.study_instance_uid]
    for words in ("mu_", "MU_4711%", "ACC-77", "acc-7", wanted.study_instance_uid, wanted.sop_instance_uid):
        assert _found(database, words=words) == mine, words
    assert _found(database, words="u_47") == []
    report_of_other = results_of(other.sop_instance_uid)[1].sop_instance_uid
    assert _found(database, words=report_of_other) == [other.study_instance_uid]
    assert _found(database, words="mu_", patients=False) == []
    assert _found(database, words=wanted.study_instance_uid, patients=False) == mine


def test_an_image_under_another_patient_is_found_with_its_study(database: Database) -> None:
    first = book(database, received(patient_id="A"))
    book(database, received(study_instance_uid=first.study_instance_uid, patient_id="STRAY"))
    assert _found(database, words="STRAY") == [first.study_instance_uid]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"outcome": Outcome.POSITIVE}, ["positive"]),
        ({"outcome": Outcome.NOT_ANALYSED}, ["refused"]),
        ({"waiting": True}, ["waiting"]),
        ({"source": "ward"}, ["refused"]),
        ({"delivery": DeliveryState.PENDING}, ["refused", "positive"]),
        ({"delivery": DeliveryState.DEAD}, []),
        ({"received_from": now() + timedelta(days=1)}, []),
        ({}, ["waiting", "refused", "positive"]),
    ],
)
def test_filters(database: Database, chosen: dict[str, object], expected: list[str]) -> None:
    names = {}
    for name, analysis, source in (("positive", positive(), "room"), ("refused", not_analysed("colour"), "ward")):
        (image,) = analysed(database, analysis, [received(source=source)])
        names[image.study_instance_uid] = name
    names[book(database).study_instance_uid] = "waiting"
    assert [names[uid] for uid in _found(database, **chosen)] == expected


def test_what_is_told_of_a_study(database: Database) -> None:
    first = received(source="room")
    analysed(database, positive(0.7), [first])
    analysed(database, positive(0.9), [received(study_instance_uid=first.study_instance_uid, source="ward")])
    book(database, received(study_instance_uid=first.study_instance_uid))
    with database.read() as session, counted_statements(database.engine) as statements:
        (found,) = search_studies(session, StudySearch(), limit=5)
    assert len(statements) == 4
    assert (found.images, found.waiting, found.sources) == (3, 1, ["room", "room-1", "ward"])
    assert (found.outcomes, found.highest_probability) == ({Outcome.POSITIVE: 2}, 0.9)
    assert found.deliveries == {DeliveryState.PENDING: 4}
    with database.read() as session:
        assert known_sources(session) == ["room", "room-1", "ward"]
        assert study_of_instance(session, first.sop_instance_uid) == first.study_instance_uid
        assert study_of_instance(session, "1.2.3") is None


def test_pages_follow_each_other(database: Database) -> None:
    for _ in range(5):
        book(database)
    every = _found(database)
    walked: list[str] = []
    after = None
    while len(walked) < 5:
        with database.read() as session:
            page = search_studies(session, StudySearch(), limit=2, after=after)
        walked += [found.study.study_instance_uid for found in page]
        after = (page[-1].study.last_received_at, page[-1].study.id)
    assert walked == every


def test_the_events_of_a_study_are_its_own(database: Database) -> None:
    (image,) = analysed(database)
    analysed(database)
    report(database)
    with database.read() as session:
        found = history_of_study(session, image.study_instance_uid)
        assert [event.kind for event in found.events] == ["instance.received", "prediction.positive", "study.reported"]
        assert history_of_study(session, "1.2.3") == History([], 0, 0, [])


def test_reads_are_counted_and_push_nothing_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = analysed(database)
    report(database)
    monkeypatch.setattr(timelines, "MOST_EVENTS", 3)
    monkeypatch.setattr(timelines, "MOST_READS", 2)
    with database.write() as session:
        for number in range(5):
            record_event(session, "api.read", subject=image.study_instance_uid, actor=f"reader-{number}")
    with database.read() as session:
        found = history_of_study(session, image.study_instance_uid)
    assert [event.kind for event in found.events] == ["instance.received", "prediction.positive", "study.reported"]
    assert (found.left_out, found.reads) == (0, 5)
    assert [event.actor for event in found.newest_reads] == ["reader-4", "reader-3"]

    with database.write() as session:
        record_event(session, "study.reanalysed", subject=image.study_instance_uid)
    with database.read() as session:
        found = history_of_study(session, image.study_instance_uid)
    assert [event.kind for event in found.events] == ["prediction.positive", "study.reported", "study.reanalysed"]
    assert found.left_out == 1, "and says so"
