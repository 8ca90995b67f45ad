"""Builds rows the way the service does: through the listener's and the worker's own functions."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.intake import book_instance
from audit.models import Study, now
from audit.session import Database
from audit.studies import release_idle_studies
from core.records import (
    Analysis,
    Finding,
    InferenceJob,
    ModelIdentity,
    Outcome,
    Prediction,
    ReceivedInstance,
    ResultKind,
    ResultObject,
)

_ROOT = "1.2.826.0.1.3680043.10.511.9"
_numbers = itertools.count(1)

MODEL = ModelIdentity(
    name="mobilenet_v2",
    version="1.0.0",
    manufacturer="pneumo",
    digest="ab" * 32,
    preprocessing="{}",
    label="pneumonia",
    threshold=0.5,
    temperature=1.0,
)
DEVICE_UID = "2.25.11"


def received(**changes: Any) -> ReceivedInstance:
    """A new image of a study of its own, unless ``changes`` say otherwise."""
    number = next(_numbers)
    instance = ReceivedInstance(
        sop_instance_uid=f"{_ROOT}.3.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        study_instance_uid=f"{_ROOT}.1.{number}",
        series_instance_uid=f"{_ROOT}.2.{number}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="DX",
        patient_id="PATIENT-1",
        issuer_of_patient_id="HOSPITAL",
        accession_number="ACCESSION-1",
        study_date="20260102",
        calling_ae_title="XRAY1",
        called_ae_title="PNEUMO",
        peer_address="127.0.0.1",
        source="room-1",
        spool_name=f"received/ab/{number}.dcm",
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        size_bytes=1000,
    )
    return replace(instance, **changes)


def book(database: Database, instance: ReceivedInstance | None = None) -> ReceivedInstance:
    instance = instance or received()
    with database.write() as session:
        book_instance(session, instance)
    return instance


def positive(probability: float = 0.9, *warnings: str) -> Analysis:
    outcome = Outcome.POSITIVE if probability >= MODEL.threshold else Outcome.NEGATIVE
    return Analysis(
        outcome,
        Prediction(MODEL.label, probability, MODEL.threshold),
        warnings=tuple(Finding(code, f"About {code}.") for code in warnings),
        voi="window",
    )


def not_analysed(*reasons: str) -> Analysis:
    return Analysis(Outcome.NOT_ANALYSED, reasons=tuple(Finding(code, f"About {code}.") for code in reasons))


def results_of(sop_instance_uid: str) -> tuple[ResultObject, ...]:
    """A Secondary Capture and a report, with UIDs that follow from the image's."""
    return tuple(
        ResultObject(
            kind=kind,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=f"{sop_instance_uid}.{place}",
            series_instance_uid=f"{sop_instance_uid}.{place}0",
            spool_name=f"results/ab/{sop_instance_uid.rsplit('.', 1)[1]}-{place}.dcm",
            sha256="cd" * 32,
        )
        for place, (kind, sop_class_uid) in enumerate(
            (
                (ResultKind.SECONDARY_CAPTURE, "1.2.840.10008.5.1.4.1.1.7"),
                (ResultKind.REPORT, "1.2.840.10008.5.1.4.1.1.88.33"),
            ),
            start=1,
        )
    )


def finish(
    session: Session,
    job: InferenceJob,
    analysis: Analysis,
    *,
    destinations: Collection[str] = ("pacs",),
    model: ModelIdentity = MODEL,
    device_uid: str = DEVICE_UID,
) -> None:
    finish_inference(
        session,
        job,
        analysis,
        model_version_id=register_model(session, model, device_uid),
        results=results_of(job.sop_instance_uid),
        destinations=dict.fromkeys(ResultKind, destinations),
        stage_seconds={"read": 0.1, "predict": 0.2},
    )


def analysed(
    database: Database,
    analysis: Analysis | None = None,
    instances: Sequence[ReceivedInstance] | None = None,
    **how: Any,
) -> list[ReceivedInstance]:
    """Book images and finish them, all with the same analysis; their results are held until ``report``."""
    booked = [book(database, instance) for instance in instances or [received()]]
    with database.write() as session:
        for job in claim_inference(session, len(booked), 60):
            finish(session, job, analysis or positive(), **how)
    return booked


def report(database: Database) -> list[str]:
    """Make every study idle and let its results go."""
    with database.write() as session:
        session.execute(update(Study).values(last_received_at=now() - timedelta(hours=1)))
        return release_idle_studies(session, idle_seconds=10)
