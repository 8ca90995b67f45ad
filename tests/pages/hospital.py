"""A small hospital's day in the books, made through the service's own functions, with real pictures in the spool."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sqlalchemy import func, select, update

from audit.alerts import AlertCode, Condition, settle_alerts
from audit.api_keys import create_key
from audit.deliveries import claim_deliveries, mark_dead, mark_sent
from audit.events import record_event
from audit.heartbeats import beat
from audit.inference_jobs import claim_inference
from audit.models import Instance, Picture, PictureKind, Prediction, Study, now
from audit.session import Database
from core.records import Analysis, Finding, Outcome
from core.scopes import Scope
from core.spool import Spool
from tests.audit.rows import book, finish, not_analysed, positive, received, report

PATIENT = "MUSTER-4711"
ACCESSION = "ACC-2026-00815"
ISSUER = "KLINIKUM-NORD"
NAMES_OF_PATIENTS = (PATIENT, ACCESSION, ISSUER, "MUSTER-0")


@dataclass(frozen=True, slots=True)
class Hospital:
    study: str
    """Two images: one positive with pictures and warnings, one that was not analysed."""
    image: str
    waiting_study: str
    key: str
    """With every scope."""
    masked_key: str
    """May read, and see no patient."""
    reader_key: str
    """May read, and change nothing."""


def open_hospital(database: Database, spool_url: str) -> Hospital:
    spool = Spool(spool_url)
    first = received(patient_id=PATIENT, accession_number=ACCESSION, issuer_of_patient_id=ISSUER, source="x-ray-room-1")
    second = received(
        study_instance_uid=first.study_instance_uid, patient_id=PATIENT, accession_number=ACCESSION,
        issuer_of_patient_id=ISSUER, source="x-ray-room-1",
    )  # fmt: skip
    _analyse(database, spool, [(first, positive(0.913, "age_outside_training_population", "near_threshold"))])
    _analyse(database, spool, [(second, not_analysed("lateral_view"))])
    others = [
        (
            received(
                patient_id=f"MUSTER-0{number}", accession_number=f"ACC-2026-01{number}", issuer_of_patient_id=ISSUER,
                source=("x-ray-room-1", "x-ray-room-2", "ward-cart")[number % 3],
            ),
            analysis,
        )
        for number, analysis in enumerate(_a_day())
    ]  # fmt: skip
    _analyse(database, spool, others)
    _spread_over_the_day(database)
    report(database)
    _deliver(database)
    waiting = book(
        database, received(patient_id="MUSTER-099", accession_number="ACC-2026-0999", issuer_of_patient_id=ISSUER)
    )
    with database.write() as session:
        session.execute(update(Study).values(last_received_at=now()).where(Study.last_received_at < now()))
        beat(session, "inference", "worker-1")
        settle_alerts(
            session, [Condition(AlertCode.DEAD_LETTERS, "main-pacs", "2 results were given up and wait for a person.")]
        )
        record_event(
            session,
            "association.refused",
            actor="STRANGER",
            called_ae_title="PNEUMO",
            address="10.0.0.99",
            cause="calling_ae_title_unknown",
        )
        keys = [
            create_key(session, name, "cli:test", scopes)
            for name, scopes in (
                ("dr.weber", list(Scope)),
                ("statistics", [Scope.AUDIT_READ, Scope.JOBS_WRITE, Scope.FEEDBACK_WRITE, Scope.ADMIN]),
                ("visitor", [Scope.AUDIT_READ, Scope.PHI_READ]),
            )
        ]
    return Hospital(first.study_instance_uid, first.sop_instance_uid, waiting.study_instance_uid, *keys)


def _a_day() -> list[Analysis]:
    generator = np.random.default_rng(5)
    shares = (float(share) for share in generator.beta(0.7, 1.6, 40))
    judged = [positive(share, *(["low_contrast"] if share > 0.8 else [])) for share in shares]
    failed = Analysis(Outcome.FAILED, reasons=(Finding("undecodable_pixels", "The pixels cannot be decoded."),))
    return [*judged[:20], not_analysed("burned_in_annotation"), not_analysed("lateral_view"), failed, *judged[20:]]


def _analyse(database: Database, spool: Spool, images: list[tuple[object, Analysis]]) -> None:
    for instance, _ in images:
        book(database, instance)  # type: ignore[arg-type]
    by_uid = {instance.sop_instance_uid: analysis for instance, analysis in images}  # type: ignore[attr-defined]
    with database.write() as session:
        for job in claim_inference(session, len(images), 60):
            finish(session, job, by_uid[job.sop_instance_uid], destinations=("main-pacs", "archive"))
        session.flush()
        judged = select(Prediction).where(Prediction.probability.is_not(None), ~Prediction.pictures.any())
        for prediction in session.scalars(judged):
            for kind in PictureKind:
                content = _picture(kind)
                session.add(
                    Picture(
                        prediction_id=prediction.id, kind=kind, spool_name=spool.write(content, "results"),
                        sha256="ef" * 32,
                    )
                )  # fmt: skip


def _picture(kind: PictureKind) -> bytes:
    """Something like a chest: dark lungs in a bright body; the overlay is the same beside it with a warm spot."""
    rows, columns = np.mgrid[0:384, 0:384] / 384.0
    grey = 190 * np.exp(-(((columns - 0.5) / 0.42) ** 4) - ((rows - 0.55) / 0.55) ** 6)
    for centre in (0.31, 0.69):
        grey -= 140 * np.exp(-(((columns - centre) / 0.13) ** 2) - ((rows - 0.5) / 0.26) ** 2)
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
    if kind is PictureKind.OVERLAY:
        alone, picture = picture, Image.new("RGB", (2 * picture.width, picture.height))
        picture.paste(alone, (0, 0))
        picture.paste(alone, (alone.width, 0))
    if kind is not PictureKind.ORIGINAL:
        heat = Image.new("RGB", picture.size, (220, 60, 20))
        mask = Image.new("L", picture.size, 0)
        ImageDraw.Draw(mask).ellipse((picture.width - 314, 190, picture.width - 214, 290), fill=150)
        picture.paste(heat, mask=mask)
    saved = io.BytesIO()
    picture.save(saved, "PNG")
    return saved.getvalue()


def _spread_over_the_day(database: Database) -> None:
    """Between midnight and now, most of them lately."""
    at = now()
    begun = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    span = (at - begun).total_seconds()
    with database.write() as session:
        count = session.scalar(select(func.count()).select_from(Instance)) or 1
        for place, instance in enumerate(session.scalars(select(Instance).order_by(Instance.id))):
            share = ((place + 0.5) / count) ** 0.6
            instance.received_at = begun + timedelta(seconds=share * span * 0.98)
            for prediction in session.scalars(select(Prediction).where(Prediction.instance_id == instance.id)):
                prediction.created_at = instance.received_at + timedelta(seconds=0.8 + 0.1 * (place % 17))


def _deliver(database: Database) -> None:
    """Most are confirmed, some only sent, two given up, a few still wait."""
    for turn in range(12):
        with database.write() as session:
            deliveries = claim_deliveries(session, 12, 60)
        if not deliveries:
            break
        with database.write() as session:
            for place, delivery in enumerate(deliveries):
                if turn == 0 and place < 2:
                    mark_dead(session, delivery, "sop_class_not_supported", 0x0122)
                else:
                    mark_sent(session, delivery, 0, confirmed=place % 4 != 0)


def spool_of(home: Path) -> str:
    return (home / "spool").absolute().as_uri()
