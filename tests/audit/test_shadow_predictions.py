from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from audit.figures import read_figures
from audit.inference_jobs import register_model
from audit.listing import Page
from audit.models import AuditEvent, Instance, Role
from audit.prediction_filter import PredictionFilter
from audit.queries import find_predictions, get_prediction
from audit.session import Database
from audit.shadow_predictions import ShadowPrediction, keep_shadow_predictions, record_shadow_failure
from audit.study_listing import get_study
from audit.tallies import find_model
from core.records import Analysis
from tests.audit.rows import DEVICE_UID, MODEL, analysed, positive, report

CANDIDATE = replace(MODEL, version="2.0.0")
CANDIDATE_UID = "2.25.22"


def shadow(database: Database, *analyses: Analysis, device_uid: str = CANDIDATE_UID) -> None:
    """One for each of the latest images."""
    with database.write() as session:
        latest = session.scalars(select(Instance.id).order_by(Instance.id.desc()).limit(len(analyses))).all()
        version = register_model(session, CANDIDATE, device_uid)
        keep_shadow_predictions(
            session,
            version,
            [
                ShadowPrediction(instance_id, analysis, {"predict": 0.05})
                for instance_id, analysis in zip(sorted(latest), analyses, strict=True)
            ],
        )


def test_what_a_model_in_shadow_said_is_no_answer_unless_asked_for(database: Database) -> None:
    (image,) = analysed(database, positive(0.2))
    shadow(database, positive(0.9, "near_threshold"))
    with database.read() as session:
        (reported,) = find_predictions(session, PredictionFilter(), Page(10))
        (tried,) = find_predictions(session, PredictionFilter(role=Role.SHADOW), Page(10))
        both = find_predictions(session, PredictionFilter(role=None), Page(10))
        study = get_study(session, image.study_instance_uid)
        assert study is not None
        assert [row.id for row in study.instances[0].predictions] == [reported.id]
        whole = [get_prediction(session, row.id) for row in (reported, tried)]
        assert [len(row.result_objects) for row in whole if row] == [2, 0]
    assert (reported.outcome, reported.role) == ("negative", "active")
    assert (tried.outcome, tried.role) == ("positive", "shadow")
    assert tried.model_version.device_uid == CANDIDATE_UID
    assert [warning.code for warning in tried.warnings] == ["near_threshold"]
    assert tried.stage_seconds == {"predict": 0.05}
    assert len(both) == 2


def test_nothing_of_it_is_counted_or_delivered(database: Database) -> None:
    analysed(database, positive(0.2), destinations=("pacs",))
    with database.read() as session:
        before = read_figures(session)
    shadow(database, positive(0.9))
    report(database)
    with database.read() as session:
        after = read_figures(session)
        model = find_model(session, None)
    assert after.predictions == before.predictions == {("negative", "mobilenet_v2", "1.0.0", "room-1"): 1}
    assert after.deliveries == {("pending", "pacs"): 2}, "the active model's two, let go as ever"
    assert set(after.events) - set(before.events) == {"model.registered", "study.reported"} - set(before.events)
    assert model is not None
    assert model.device_uid == DEVICE_UID, "drift follows the model that reports"


def test_a_failure_is_an_event(database: Database) -> None:
    with database.write() as session:
        record_shadow_failure(session, CANDIDATE_UID, "worker-1", "RuntimeError", 16)
    with database.read() as session:
        event = session.scalars(select(AuditEvent)).one()
    assert (event.kind, event.subject) == ("shadow.failed", CANDIDATE_UID)
    assert event.data == {"worker": "worker-1", "code": "RuntimeError", "images": 16}
