"""Everything that may become of rows, by the service's own functions: what is right must never look like a fault."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import update

from audit.api_keys import create_key, revoke_key
from audit.deliveries import DeliveryFilter, claim_deliveries, mark_dead, mark_sent, requeue_deliveries
from audit.feedback import give_feedback
from audit.inference_jobs import StoredPicture, claim_inference, finish_inference, register_model, retry_inference
from audit.model_versions import activate, in_service, introduce_shipped, keep_files, put_in_shadow
from audit.models import Agreement, ModelState, PictureKind, Study, TrueLabel, now
from audit.recalls import Recall, mark_recalled, studies_of
from audit.rejections import keep_note, send_known_note, withdrawn_study
from audit.retention import Patient, erase_studies, studies_of_patient
from audit.retrials import Fate, reanalyse_study, retry_job
from audit.session import Database
from audit.studies import release_idle_studies
from audit.study_results import conclude_study, studies_to_conclude
from audit.uploads import GivenImage, Request, ask, book_upload
from core.records import Analysis, Finding, Outcome, ReceivedInstance, ResultKind, ResultObject
from core.scopes import Scope
from tests.audit.rows import DEVICE_UID, MODEL, book, not_analysed, positive, received, results_of
from tests.audit.test_shadow_predictions import CANDIDATE, CANDIDATE_UID, shadow

ERASED, UPLOADER = "ERASED", "ward"
UPLOAD = GivenImage(
    principal=UPLOADER, peer_address="127.0.0.1", content_sha256="ab" * 32, size_bytes=10, media_type="image/png",
    columns=60, rows=40, use_tta=False, patient_id="P",
)  # fmt: skip
_NOTE = ResultObject(ResultKind.REJECTION_NOTE, "1.2.840.10008.5.1.4.1.1.88.59", "1.9.1", "1.9.10", "results/n", "ef")


def live(database: Database) -> None:
    _open_doors(database)
    judged = received(patient_id="KEPT")
    _study(database, judged, received(study_instance_uid=judged.study_instance_uid, patient_id="KEPT"))
    shadow(database, positive(0.2), positive(0.7))
    _study(database, received(), analysis=not_analysed("lateral_view"))
    gone, again, joined = (received(patient_id=ERASED) for _ in range(3))
    for image in (gone, again, joined):
        _study(database, image)
    _judge_by_readers(database)
    _erase(database)
    other = received(sop_instance_uid=again.sop_instance_uid, calling_ae_title="XRAY2")
    _study(database, other)
    _study(database, received(study_instance_uid=joined.study_instance_uid, source="room-2"))
    _upload(database)
    _recall(database, judged)
    _try_again(database)
    book(database)  # and one that waits


def answer(
    database: Database, analysis: Analysis | None = None, destinations: Collection[str] = ("pacs", "archive")
) -> None:
    """By whichever model is active, with names of its own for each analysis of an image."""
    with database.write() as session:
        (active,) = (row for row in in_service(session) if row.state is ModelState.ACTIVE)
        for job in claim_inference(session, 20, 60):
            finish_inference(
                session, job, analysis or positive(0.9, "low_resolution"),
                model_version_id=active.id,
                results=results_of(f"{job.sop_instance_uid}.{job.generation}{active.id}"),
                destinations=dict.fromkeys(ResultKind, destinations), stage_seconds={},
                pictures=[StoredPicture(kind, f"pictures/{kind}", f"{place}{job.id}" * 8)
                          for place, kind in enumerate(PictureKind) if analysis is None],
            )  # fmt: skip


def _open_doors(database: Database) -> None:
    with database.write() as session:
        create_key(session, UPLOADER, "cli:admin", [Scope.PREDICT])
        create_key(session, "reader", "cli:admin", [Scope.AUDIT_READ], now() + timedelta(days=9))
        create_key(session, "former", "cli:admin", [Scope.ADMIN])
        revoke_key(session, "former", "cli:admin")
        introduce_shipped(session, MODEL, DEVICE_UID)
        candidate = keep_files(session, CANDIDATE, CANDIDATE_UID, "folder", "cli:admin")
        put_in_shadow(session, candidate.id, "cli:admin")


def _study(database: Database, *images: ReceivedInstance, analysis: Analysis | None = None) -> None:
    """Received, judged, let go, concluded and delivered."""
    for image in images:
        book(database, image)
    answer(database, analysis)
    _release(database)
    with database.write() as session:
        for study in studies_to_conclude(session, 9):
            uid = f"{study.study_instance_uid}.{study.reported_at.timestamp():.0f}{len(study.earlier)}"
            summary = ResultObject(ResultKind.STUDY_SUMMARY, "1.2.3", uid, "1.8", "results/s", "ef")
            assert conclude_study(session, study, [(summary, ["pacs"])])
    with database.write() as session:
        while jobs := claim_deliveries(session, 9, 60):
            for job in jobs:
                mark_sent(session, job, 0, confirmed=job.destination == "pacs")


def _judge_by_readers(database: Database) -> None:
    with database.write() as session:
        for agreement, label in ((Agreement.UNSURE, None), (Agreement.AGREE, TrueLabel.PNEUMONIA)):
            give_feedback(
                session,
                1,
                agreement=agreement,
                true_label=label,
                comment="Mrs Example",
                reader="dr",
                principal="reader",
            )


def _erase(database: Database) -> None:
    with database.write() as session:
        studies = session.scalars(studies_of_patient(Patient(ERASED))).all()
        assert erase_studies(session, studies, actor="cli:admin", why="request").studies == 3


def _upload(database: Database) -> None:
    with database.write() as session:
        booked = book_upload(session, UPLOAD, "received/ab/1.png", Request())
        assert ask(session, booked.job_id, None, Request()).prediction_id is None
    answer(database, destinations=())


def _recall(database: Database, image: ReceivedInstance) -> None:
    """Another model takes over, everything of the former is withdrawn, and some of it is judged again."""
    with database.write() as session:
        activate(session, register_model(session, CANDIDATE, CANDIDATE_UID), "cli:admin")
        recall = Recall(register_model(session, MODEL, DEVICE_UID))
        studies = studies_of(session, recall)
        assert mark_recalled(session, recall, studies, "cli:admin").images == 8
        withdrawn = withdrawn_study(session, recall, studies[0])
        assert withdrawn is not None
        assert keep_note(session, withdrawn, _NOTE, ["pacs"], "cli:admin")
        further = send_known_note(session, withdrawn, _NOTE.sop_instance_uid, ["pacs", "archive"], "cli:admin")
        assert further == ["archive"]
        again = reanalyse_study(session, image.study_instance_uid, "cli:admin")
        assert again is not None
        assert again.queued == 2
        upload = book_upload(session, UPLOAD, "received/ab/2.png", Request())
        assert not upload.is_new
        assert ask(session, upload.job_id, CANDIDATE_UID, Request()).prediction_id is None
    answer(database)
    _release(database)


def _try_again(database: Database) -> None:
    """A delivery that was given up, and an image whose analysis failed."""
    with database.write() as session:
        dead, *others = claim_deliveries(session, 9, 60)
        mark_dead(session, dead, "sop_class_not_supported", 0x0122)
        for other in others:
            mark_sent(session, other, 0)
        assert requeue_deliveries(session, DeliveryFilter(ids=[dead.id]), "cli:admin") == [dead.id]
    book(database)
    with database.write() as session:
        (job,) = claim_inference(session, 1, 60)
        retry_inference(session, job, "out_of_memory", 0)
    answer(database, Analysis(Outcome.FAILED, reasons=(Finding("gave_up", ""),)))
    with database.write() as session:
        retrial = retry_job(session, job.id, "cli:admin")
        assert retrial is not None
        assert retrial.fate is Fate.QUEUED
    answer(database)


def _release(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Study).values(last_received_at=now() - timedelta(hours=1)))
        release_idle_studies(session, idle_seconds=10, conclude=True)
