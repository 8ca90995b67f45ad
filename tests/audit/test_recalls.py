"""A withdrawn model's results: found, marked, kept back and analysed again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from audit.deliveries import claim_deliveries, mark_sent
from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.model_versions import activate
from audit.models import AuditEvent, Delivery, Job, JobState, Prediction, Role, Study, now
from audit.reanalysis import Reanalysis, reanalyse
from audit.recalls import Marked, Recall, count_results, find_model, find_results, mark_recalled, studies_of
from audit.session import Database
from core.errors import LeaseLost
from core.records import DeliveryJob, DeliveryState, ResultKind
from tests.audit.rows import DEVICE_UID, MODEL, analysed, not_analysed, positive, received, report, results_of
from tests.audit.test_shadow_predictions import CANDIDATE, CANDIDATE_UID, shadow

ACTOR = "cli:someone"


def _withdrawn(database: Database, **times: object) -> Recall:
    """The model of the first results, with the candidate in its place."""
    with database.write() as session:
        activate(session, register_model(session, CANDIDATE, CANDIDATE_UID), ACTOR)
        return Recall(register_model(session, MODEL, DEVICE_UID), **times)  # type: ignore[arg-type]


def _mark(database: Database, recall: Recall) -> Marked:
    with database.write() as session:
        return mark_recalled(session, recall, studies_of(session, recall), ACTOR)


def _reanalyse(database: Database, recall: Recall) -> Reanalysis:
    with database.write() as session:
        return reanalyse(session, recall, studies_of(session, recall), ACTOR, CANDIDATE_UID)


def _claim(database: Database, limit: int = 32) -> list[DeliveryJob]:
    with database.write() as session:
        return claim_deliveries(session, limit, 60)


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


def _candidate_answers(database: Database) -> None:
    """The worker's part after a reanalysis."""
    with database.write() as session:
        version = register_model(session, CANDIDATE, CANDIDATE_UID)
        for job in claim_inference(session, 16, 60):
            results = [
                replace(each, sop_instance_uid=f"{each.sop_instance_uid}.9")
                for each in results_of(job.sop_instance_uid)
            ]
            finish_inference(
                session, job, positive(0.1), model_version_id=version, results=results,
                destinations=dict.fromkeys(ResultKind, ("pacs",)), stage_seconds={},
            )  # fmt: skip


def test_the_results_of_one_model_are_counted_and_listed(database: Database) -> None:
    images = analysed(database, positive(), [received(), received()], destinations=("pacs", "archive"))
    analysed(database, not_analysed("lateral_view"), [received(study_instance_uid=images[0].study_instance_uid)])
    analysed(database, model=CANDIDATE, device_uid=CANDIDATE_UID)
    report(database)
    (sent,) = _claim(database, limit=1)
    with database.write() as session:
        mark_sent(session, sent, 0x0000)
    recall = _withdrawn(database)
    with database.read() as session:
        counts = count_results(session, recall)
        rows = list(find_results(session, recall))
        later = replace(recall, made_from=now() + timedelta(minutes=1))
        assert (count_results(session, later).images, studies_of(session, later)) == (0, [])
        assert count_results(session, replace(recall, made_before=now() + timedelta(minutes=1))).images == 3
    assert (counts.studies, counts.images, counts.recalled) == (2, 3, 0)
    assert counts.outcomes == {"positive": 2, "not_analysed": 1}
    assert counts.objects == {"secondary_capture": 3, "report": 3}
    assert counts.destinations[sent.destination]["sent"] == 1
    assert sum(states.total() for states in counts.destinations.values()) == 10
    assert [row.instance.sop_instance_uid for row in rows[:2]] == [image.sop_instance_uid for image in images]
    assert [len(each.deliveries) for each in rows[0].result_objects] == [2, 2]


def test_a_model_is_meant_by_its_version_or_device_uid(database: Database) -> None:
    with database.write() as session:
        register_model(session, MODEL, DEVICE_UID)
        register_model(session, CANDIDATE, CANDIDATE_UID)
        register_model(session, replace(CANDIDATE, preprocessing="{1}"), "2.25.33")
    with database.read() as session:
        for words in (MODEL.version, f"{MODEL.name}@{MODEL.version}", DEVICE_UID):
            assert find_model(session, words).device_uid == DEVICE_UID
        with pytest.raises(ValueError, match=r"2 models have the version 2\.0\.0.*2\.25\.22.*2\.25\.33"):
            find_model(session, CANDIDATE.version)
        with pytest.raises(ValueError, match="known are: mobilenet_v2@1"):
            find_model(session, "7.7")


def test_what_is_marked_goes_out_no_more(database: Database) -> None:
    (image,) = analysed(database, destinations=("pacs", "archive"))
    analysed(database)  # held: its study may still grow
    report(database)
    in_hand = _claim(database, limit=1)  # one of its two objects, in a worker's hands
    recall = _withdrawn(database)
    assert _mark(database, recall) == Marked(images=2, stopped=5, under_way=1)
    assert _claim(database) == []
    with database.read() as session:
        assert count_results(session, recall).recalled == 2
        states = count_results(session, recall).destinations
    assert {name: dict(counts) for name, counts in states.items()} == {
        "archive": {"stopped": 2},
        "pacs": {"under_way": 1, "stopped": 3},
    }
    with database.write() as session:
        mark_sent(session, in_hand[0], 0x0000)
    assert _mark(database, recall) == Marked(), "nothing is left to mark or to stop"
    told = _events(database, "prediction.recalled")
    assert [event.data["images"] for event in told] == [1, 1]
    assert told[0].subject == image.study_instance_uid
    assert (told[0].data["stopped"], told[0].data["under_way"], told[0].actor) == (3, 1, ACTOR)


def test_who_sends_slower_than_its_lease_finds_the_delivery_stopped(database: Database) -> None:
    analysed(database)
    report(database)
    slow = _claim(database, limit=1)
    with database.write() as session:
        session.execute(update(Delivery).values(lease_until=now() - timedelta(seconds=1)))
    assert _mark(database, _withdrawn(database)) == Marked(images=1, stopped=2)
    with pytest.raises(LeaseLost), database.write() as session:
        mark_sent(session, slow[0], 0x0000)


def test_an_archive_that_lost_a_withdrawn_object_is_not_asked(database: Database) -> None:
    analysed(database)
    report(database)
    for job in _claim(database):
        with database.write() as session:
            mark_sent(session, job, 0x0000)
            session.execute(update(Delivery).values(confirm_at=now(), transaction_uid="2.25.5"))
    _mark(database, _withdrawn(database))
    with database.read() as session:
        rows = session.scalars(select(Delivery)).all()
    assert {(row.state, row.confirm_at, row.transaction_uid) for row in rows} == {(DeliveryState.SENT, None, None)}


def test_the_active_model_is_not_withdrawn(database: Database) -> None:
    analysed(database)
    recall = _withdrawn(database)
    with database.write() as session:
        activate(session, recall.version_id, ACTOR)
    with pytest.raises(ValueError, match="activate another one first"):
        _mark(database, recall)
    with database.read() as session:
        assert count_results(session, recall).recalled == 0


def test_images_are_judged_again_once(database: Database) -> None:
    images = analysed(database, instances=[received(), received()])
    shadow(database, positive(0.1, "near_threshold"))  # of the second image, from when the candidate was on trial
    report(database)
    recall = _withdrawn(database)
    assert _reanalyse(database, recall) == Reanalysis(), "only what is marked"
    _mark(database, recall)
    assert _reanalyse(database, recall) == Reanalysis(queued=2)
    assert _reanalyse(database, recall) == Reanalysis(waiting=2)
    with database.read() as session:
        assert session.scalars(select(Study).where(Study.reported_at.is_not(None))).all() == []
    _candidate_answers(database)
    assert _reanalyse(database, recall) == Reanalysis(done=2)
    assert report(database) == [image.study_instance_uid for image in images]
    assert {job.sop_instance_uid.rsplit(".", 1)[1] for job in _claim(database)} == {"9"}, "the new model's alone"
    with database.read() as session:
        rows = session.scalars(select(Prediction).order_by(Prediction.id)).all()
        assert [row.role for row in rows] == [Role.ACTIVE] * 4
        assert [row.recalled_at is not None for row in rows] == [True, True, False, False]
        assert {job.state for job in session.scalars(select(Job))} == {JobState.DONE}
    assert [event.data["images"] for event in _events(database, "study.reanalysed")] == [1, 1]


def test_a_model_that_was_recalled_itself_does_not_judge_again(database: Database) -> None:
    analysed(database)
    report(database)
    recall = _withdrawn(database)
    _mark(database, recall)
    _reanalyse(database, recall)
    _candidate_answers(database)
    with database.write() as session:
        session.execute(update(Prediction).values(recalled_at=now()))
    assert _reanalyse(database, recall) == Reanalysis(blocked=1)
