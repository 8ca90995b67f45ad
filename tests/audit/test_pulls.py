from __future__ import annotations

from datetime import date

from audit import pulls
from audit.models import AuditEvent
from audit.pulls import PullQuery
from audit.session import Database
from tests.audit.rows import book

MARCH = PullQuery(date(2025, 3, 1), date(2025, 3, 3), ("CR", "DX"))


def opened(database: Database, query: PullQuery = MARCH, archive: str = "old") -> pulls.OpenPull:
    with database.write() as session:
        return pulls.start_pull(session, archive, query, "cli:test")


def listed(database: Database, *uids: str) -> int:
    pull = opened(database)
    with database.write() as session:
        pulls.add_day(session, pull.id, date(2025, 3, 1), uids)
    return pull.id


def following(database: Database, pull_id: int) -> pulls.Claim:
    with database.read() as session:
        study = pulls.next_study(session, pull_id)
    assert study is not None
    return study


def test_an_unfinished_pull_goes_on_and_others_begin(database: Database) -> None:
    first = opened(database)
    assert (first.resumed, first.listed_until) == (False, None)
    with database.write() as session:
        assert pulls.add_day(session, first.id, date(2025, 3, 1), ["1.1", "1.2"]) == 2
        assert pulls.add_day(session, first.id, date(2025, 3, 2), ["1.2", "1.3"]) == 1
    again = opened(database, PullQuery(MARCH.since, MARCH.until, ("DX", "CR")))
    assert (again.id, again.resumed, again.listed_until) == (first.id, True, date(2025, 3, 2))
    assert not opened(database, archive="new").resumed
    assert not opened(database, PullQuery(MARCH.since, MARCH.until, ("DX",))).resumed
    with database.write() as session:
        pulls.finish_pull(session, first.id, "cli:test")
    assert not opened(database).resumed
    with database.read() as session:
        kinds = [event.kind for event in session.query(AuditEvent).filter_by(subject=str(first.id))]
    assert kinds == ["pull.started", "pull.resumed", "pull.finished"]


def test_the_oldest_comes_first_and_what_failed_once_comes_last(database: Database) -> None:
    pull_id = listed(database, "1.1", "1.2")
    order = []
    for _ in range(4):
        study = following(database, pull_id)
        order.append(study.study_instance_uid)
        with database.write() as session:
            if study.study_instance_uid == "1.1":
                is_over = pulls.postpone(session, study.id, "no_answer")
            else:
                pulls.mark_done(session, study.id, 2)
    assert order == ["1.1", "1.2", "1.1", "1.1"]
    assert is_over
    with database.read() as session:
        assert pulls.next_study(session, pull_id) is None
        assert pulls.progress(session, pull_id) == pulls.Progress(0, 1, 1, 2, {"no_answer": 1})


def test_failed_studies_are_tried_again_when_asked_for(database: Database) -> None:
    pull_id = listed(database, "1.1")
    with database.write() as session:
        pulls.mark_failed(session, following(database, pull_id).id, "images_failed", 1)
        pulls.finish_pull(session, pull_id, "cli:test")
    with database.write() as session:
        assert pulls.reopen_pull(session, "old", None, "cli:test", retry_failed=False) is None
        reopened = pulls.reopen_pull(session, "old", MARCH, "cli:test", retry_failed=True)
    assert reopened is not None
    assert (reopened.id, reopened.query) == (pull_id, MARCH)
    assert following(database, pull_id).attempts == 0
    assert opened(database).id == pull_id


def test_images_of_a_series_are_counted_within_its_study(database: Database) -> None:
    image = book(database)
    study, series = image.study_instance_uid, image.series_instance_uid
    with database.read() as session:
        assert pulls.count_images(session, study, series) == 1
        assert pulls.count_images(session, study, "1.9") == 0
        assert pulls.count_images(session, "1.9", series) == 0
