"""Erasure takes what tells of a patient, and nothing else; whatever comes afterwards finds its way."""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text, update

from audit.commitments import look_up
from audit.dead_letters import count_dead_letters
from audit.deliveries import DeliveryFilter, claim_deliveries, mark_dead, mark_sent, requeue_deliveries
from audit.feedback import give_feedback
from audit.holdings import StudyKeys, find_studies
from audit.inference_jobs import StoredPicture, claim_inference, finish_inference, register_model
from audit.intake import Receipt, book_instance
from audit.models import (
    Agreement,
    AuditEvent,
    Base,
    Delivery,
    ErasedFile,
    Instance,
    PictureKind,
    Prediction,
    Study,
    now,
)
from audit.retention import (
    Erased,
    Patient,
    count_erasable,
    erase_studies,
    issuers_of,
    remove_files,
    studies_before,
    studies_of_patient,
)
from audit.session import Database
from core.records import DeliveryState, ReceivedInstance, ResultKind
from core.spool import Spool
from tests.audit.rows import DEVICE_UID, MODEL, book, positive, received, report, results_of
from tests.audit.tampering import tampered, verify

ACTOR = "cli:someone"
IDENTIFIERS = ("PATIENT-1", "HOSPITAL", "ACCESSION-1", "20260102", "Mrs Example")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool((tmp_path / "spool").as_uri())


def files_of(spool: Spool) -> set[str]:
    assert spool.local_root is not None
    return {str(path.relative_to(spool.local_root)) for path in spool.local_root.rglob("*") if path.is_file()}


def judged(database: Database, spool: Spool, instance: ReceivedInstance | None = None) -> ReceivedInstance:
    """An image with everything that can be made of it, its files in the spool; its results are held."""
    instance = replace(instance or received(), spool_name=spool.write(b"image", "received"))
    book(database, instance)
    results = [
        replace(each, spool_name=spool.write(b"result", "results")) for each in results_of(instance.sop_instance_uid)
    ]
    with database.write() as session:
        (job,) = claim_inference(session, 1, 60)
        finish_inference(
            session, job, positive(0.9, "low_resolution"), model_version_id=register_model(session, MODEL, DEVICE_UID),
            results=results, destinations=dict.fromkeys(ResultKind, ("pacs",)), stage_seconds={},
            pictures=[StoredPicture(PictureKind.OVERLAY, spool.write(b"png", "results"), "ef")],
        )  # fmt: skip
        row = session.scalars(select(Prediction).where(Prediction.instance_id == job.instance_id)).one()
        give_feedback(
            session, row.id, agreement=Agreement.DISAGREE, comment="As in Mrs Example.", reader="dr", principal="key"
        )
    return instance


def deliver(database: Database) -> None:
    report(database)
    while True:
        with database.write() as session:
            jobs = claim_deliveries(session, 32, 60)
            for job in jobs:
                mark_sent(session, job, 0x0000)
        if not jobs:
            return


@pytest.fixture
def done(database: Database, spool: Spool) -> ReceivedInstance:
    """One image, analysed and delivered."""
    instance = judged(database, spool)
    deliver(database)
    return instance


def _erase(database: Database, spool: Spool, moment: datetime | None = None) -> Erased:
    with database.write() as session:
        ids = list(session.scalars(studies_before(moment or now())))
        erased = erase_studies(session, ids, actor=ACTOR, why="retention")
    assert remove_files(database, spool)[1] == 0
    return erased


def _everything(database: Database) -> str:
    """Every value of every row."""
    with database.engine.connect() as connection:
        rows = [connection.execute(text(f"SELECT * FROM {table}")).all() for table in Base.metadata.tables]  # noqa: S608
    return repr(rows)


def _one(database: Database, table: type[Any]) -> Any:
    with database.read() as session:
        return session.scalars(select(table).order_by(inspect(table).primary_key[0])).first()


def test_what_tells_of_the_patient_goes_and_the_rest_stays(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    assert all(word in _everything(database) for word in IDENTIFIERS)
    other = replace(done, sha256="00" * 32, spool_name=spool.write(b"other", "kept_aside"))
    with database.write() as session:
        assert book_instance(session, other).receipt is Receipt.CONFLICT
        session.execute(update(Study).values(last_received_at=now() - timedelta(hours=1)))
    expected = Erased(studies=1, images=1, results=2, pictures=1, kept_aside=1, comments=1)
    with database.read() as session:
        assert count_erasable(session, studies_before(now())) == expected
    names = files_of(spool)
    assert len(names) == 5
    assert _erase(database, spool) == expected
    assert files_of(spool) == set()
    left = _everything(database)
    assert [word for word in IDENTIFIERS if word in left] == []
    assert [name for name in names if name in left] == [other.spool_name], "the event of the conflict tells it"
    assert _one(database, ErasedFile) is None
    study, prediction, delivery = (_one(database, table) for table in (Study, Prediction, Delivery))
    assert study.erased_at is not None
    assert (study.study_instance_uid, prediction.probability) == (done.study_instance_uid, 0.9)
    assert delivery.state is DeliveryState.SENT
    found = verify(database)
    assert (found.whole, found.books["predictions"], found.books["feedback"]) == (True, 1, 1), found
    with database.read() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.kind == "study.erased")).one()
    assert (event.subject, event.actor) == (done.study_instance_uid, ACTOR)
    assert event.data == {
        "why": "retention", "images": 1, "results": 2, "pictures": 1, "kept_aside": 1, "comments": 1,
    }  # fmt: skip
    assert _erase(database, spool) == Erased()


def test_a_comment_that_came_to_an_erased_study_goes_as_well(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    """Earlier versions took feedback on what was erased."""
    _erase(database, spool)
    with database.write() as session:
        session.execute(update(Study).values(erased_at=None))
        give_feedback(session, 1, agreement=Agreement.AGREE, comment="As in Mrs Example.", reader="dr", principal="key")
        session.execute(update(Study).values(erased_at=now()))
    assert "Mrs Example" in _everything(database)
    assert _erase(database, spool) == Erased(studies=1, comments=1)
    assert "Mrs Example" not in _everything(database)
    assert verify(database).whole
    assert _erase(database, spool) == Erased()


def test_an_erasure_waits_for_feedback_that_is_being_given(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    erasing = threading.Thread(target=_erase, args=(database, spool))
    with database.write() as session:
        give_feedback(session, 1, agreement=Agreement.AGREE, comment="As in Mrs Example.", reader="2", principal="key")
        erasing.start()
        erasing.join(0.5)
        assert erasing.is_alive()
    erasing.join(20)
    assert "Mrs Example" not in _everything(database)


def test_younger_studies_stay(database: Database, spool: Spool, done: ReceivedInstance) -> None:
    assert _erase(database, spool, now() - timedelta(days=1)) == Erased()
    assert len(files_of(spool)) == 4
    assert done.patient_id in _everything(database)


def test_a_study_with_work_ahead_is_left_alone(database: Database, spool: Spool, done: ReceivedInstance) -> None:
    for table, change in (
        ("studies", "reported_at = NULL"), ("studies", "concluded_at = NULL"), ("jobs", "state = 'pending'"),
        ("deliveries", "state = 'pending'"), ("deliveries", "confirm_at = '2026-01-01 00:00:00.000000'"),
    ):  # fmt: skip
        with tampered(database, table, 1, change):
            with database.read() as session:
                assert count_erasable(session, studies_before(now())) == Erased(unfinished=1)
            assert _erase(database, spool) == Erased(unfinished=1), change
    assert len(files_of(spool)) == 4
    assert done.patient_id in _everything(database)
    assert _erase(database, spool).studies == 1


def test_an_interrupted_erasure_is_made_good(database: Database, spool: Spool, done: ReceivedInstance) -> None:
    """The process dies between the commit and the last file."""
    with database.write() as session:
        erase_studies(session, list(session.scalars(studies_before(now()))), actor=ACTOR, why="retention")
    spool.release(done.spool_name)
    assert len(files_of(spool)) == 3
    assert remove_files(database, spool) == (4, 0)
    assert files_of(spool) == set()


def test_files_that_cannot_be_removed_are_tried_again(
    database: Database, spool: Spool, done: ReceivedInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        erase_studies(session, list(session.scalars(studies_before(now()))), actor=ACTOR, why="retention")

    def refuse(_spool: Spool, _name: str) -> None:
        raise PermissionError(13, "read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Spool, "release", refuse)
        assert remove_files(database, spool) == (0, 4)
    assert remove_files(database, spool) == (4, 0)
    assert done.spool_name not in files_of(spool)


def test_the_studies_of_one_patient(database: Database, spool: Spool) -> None:
    mine = [judged(database, spool, received(patient_id="A", issuer_of_patient_id=issuer)) for issuer in ("X", "Y")]
    judged(database, spool, received(patient_id="B", issuer_of_patient_id="X"))
    stray = judged(database, spool, received(patient_id="B", issuer_of_patient_id="X"))
    book(database, received(study_instance_uid=stray.study_instance_uid, patient_id="A", issuer_of_patient_id="X"))
    with database.read() as session:
        assert issuers_of(session, "A") == ["X", "Y"]
        uids = select(Study.study_instance_uid)
        of_both = set(session.scalars(uids.where(Study.id.in_(studies_of_patient(Patient("A")).order_by(None)))))
        of_x = set(session.scalars(uids.where(Study.id.in_(studies_of_patient(Patient("A", "X")).order_by(None)))))
    assert of_both == {each.study_instance_uid for each in (*mine, stray)}
    assert of_x == {mine[0].study_instance_uid, stray.study_instance_uid}


def test_what_is_erased_is_offered_and_promised_to_nobody(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    keys = StudyKeys(study_instance_uids=(done.study_instance_uid,))
    references = [
        (done.sop_class_uid, done.sop_instance_uid),
        ("1.2.840.10008.5.1.4.1.1.7", f"{done.sop_instance_uid}.1"),
    ]
    with database.read() as session:
        assert len(find_studies(session, keys, most_studies=9, most_instances=9)[0].instances) == 3
        assert len(look_up(session, references).held) == 2
    _erase(database, spool)
    with database.read() as session:
        assert find_studies(session, keys, most_studies=9, most_instances=9) == []
        assert [each[2] for each in look_up(session, references).missing] == [0x0112, 0x0112]


def test_a_dead_delivery_of_what_is_erased_cannot_be_requeued(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    with database.write() as session:
        assert requeue_deliveries(session, DeliveryFilter(), ACTOR) == [1, 2]
        for job in claim_deliveries(session, 9, 60):
            mark_dead(session, job, "refused", 0x0122)
    with database.read() as session:
        assert count_dead_letters(session, None) == 2
    assert _erase(database, spool).studies == 1
    with database.write() as session:
        assert requeue_deliveries(session, DeliveryFilter(), ACTOR) == []
        assert count_dead_letters(session, None) == 0
    assert verify(database).whole
    assert done.study_instance_uid in _everything(database)


@pytest.mark.parametrize("sha256", [None, "99" * 32])
def test_an_erased_image_that_comes_again_is_new_work(
    database: Database, spool: Spool, done: ReceivedInstance, sha256: str | None
) -> None:
    _erase(database, spool)
    again = replace(done, spool_name=spool.write(b"again", "received"), sha256=sha256 or done.sha256)
    with database.write() as session:
        booked = book_instance(session, again)
    assert (booked.receipt, booked.job_id) == (Receipt.NEW, 1)
    with database.write() as session:
        (job,) = claim_inference(session, 9, 60)
        assert (job.sop_instance_uid, job.generation, job.patient_conflict) == (done.sop_instance_uid, 2, False)
        results = [
            replace(each, sop_instance_uid=f"{each.sop_instance_uid}.2", spool_name=spool.write(b"result", "results"))
            for each in results_of(done.sop_instance_uid)
        ]
        finish_inference(
            session, job, positive(0.8), model_version_id=register_model(session, MODEL, DEVICE_UID),
            results=results, destinations=dict.fromkeys(ResultKind, ("pacs",)), stage_seconds={},
        )  # fmt: skip
    study = _one(database, Study)
    assert (study.patient_id, study.accession_number, study.erased_at) == ("PATIENT-1", "ACCESSION-1", None)
    with database.read() as session:
        said = [(row.probability, row.recalled_at is None) for row in session.query(Prediction).order_by(Prediction.id)]
        assert said == [(0.9, False), (0.8, True)]
        assert session.scalars(select(Instance.spool_name)).one() == again.spool_name
    deliver(database)
    assert verify(database).whole
    assert _erase(database, spool) == Erased(studies=1, images=1, results=2)
    assert files_of(spool) == set()


def test_another_image_of_an_erased_study_brings_the_patient_back(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    _erase(database, spool)
    late = received(study_instance_uid=done.study_instance_uid, patient_id="PATIENT-2", issuer_of_patient_id="")
    judged(database, spool, late)
    study = _one(database, Study)
    assert (study.patient_id, study.erased_at) == ("PATIENT-2", None)
    with database.read() as session:
        kinds = set(session.scalars(select(AuditEvent.kind)))
        assert "study.returned" in kinds
        assert "study.patient_conflict" not in kinds
        (held,) = find_studies(session, StudyKeys(patient_id="PATIENT-2"), most_studies=9, most_instances=9)
    assert {each.sop_instance_uid.removeprefix(late.sop_instance_uid) for each in held.instances} == {"", ".1", ".2"}
    deliver(database)
    assert _erase(database, spool) == Erased(studies=1, images=1, results=2, pictures=1, comments=1)


def test_an_own_result_that_comes_back_after_erasure_is_still_known(
    database: Database, spool: Spool, done: ReceivedInstance
) -> None:
    _erase(database, spool)
    with database.write() as session:
        back = book_instance(session, received(sop_instance_uid=f"{done.sop_instance_uid}.1"))
    assert back.receipt is Receipt.OWN_RESULT


def test_counts_add_up() -> None:
    assert asdict(Erased(1, 2, 3) + Erased(unfinished=4)) == asdict(Erased(1, 2, 3, unfinished=4))
