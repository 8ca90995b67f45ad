"""A made-up year of a hospital in bulk, for measuring: every table filled as the service would have left it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from audit.chain import GENESIS, HEAD, digest, moment
from audit.inference_jobs import facts
from audit.models import (
    AuditEvent,
    Base,
    ChainHead,
    Delivery,
    Feedback,
    Instance,
    Job,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Source,
    Study,
)
from audit.session import Database

ROOT = "1.2.826.0.1.3680043.10.511.77"
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
SOURCES = ("x-ray-1", "x-ray-2", "emergency", "icu-mobile", "outpatients", "night-clinic")
_SHARES = (40, 30, 15, 10, 4, 1)  # percent of the images
WARNINGS = ("near_threshold", "low_resolution", "age_unknown", "laterality_unknown")
REASONS = ("lateral_view", "not_a_radiograph", "child")
PACS, HOOK = "main-pacs", "hook"
_KINDS = (
    ("secondary_capture", "1.2.840.10008.5.1.4.1.1.7", PACS),
    ("report", "1.2.840.10008.5.1.4.1.1.88.33", PACS),
    ("webhook_event", "", HOOK),
)
_RESULT_SHA256 = "cd" * 32
_MODELS = 3
_AT_ONCE = 2000
_IMAGES_A_DAY = 274  # 100,000 a year


@dataclass(slots=True)
class _Rows:
    """What waits to be written, by table, in the order that foreign keys want."""

    tables: dict[type[Base], list[dict[str, Any]]] = field(
        default_factory=lambda: {
            table: []
            for table in (
                Study,
                Instance,
                Job,
                Prediction,
                PredictionWarning,
                Feedback,
                ResultObject,
                Delivery,
                AuditEvent,
            )
        }
    )
    numbers: dict[type[Base], int] = field(default_factory=dict)
    previous: str = GENESIS

    def add(self, table: type[Base], **values: Any) -> int:
        number = self.numbers[table] = self.numbers.get(table, 0) + 1
        self.tables[table].append({"id": number, **values})
        return number

    def add_event(self, at: datetime, kind: str, subject: str, actor: str, **data: object) -> None:
        number = self.numbers.get(AuditEvent, 0) + 1
        event = AuditEvent(
            id=number, at=at, kind=kind, subject=subject, actor=actor, data=data, previous=self.previous
        )  # fmt: skip
        event_hash = digest(event)
        self.add(
            AuditEvent, at=at, kind=kind, subject=subject, actor=actor, data=data, previous=self.previous,
            hash=event_hash,
        )  # fmt: skip
        self.previous = event_hash

    def write(self, connection: Connection) -> None:
        for table, rows in self.tables.items():
            if rows:
                connection.execute(insert(table.__table__), rows)  # type: ignore[arg-type]
                rows.clear()


def fill(database: Database, images: int, progress: Callable[[int], None] = lambda _done: None) -> None:
    """Raises ValueError where the database has rows already: nobody's history is mixed with a made-up one."""
    rows = _Rows()
    with database.write() as session:
        connection = session.connection()
        if connection.scalar(select(Study.id).limit(1)) or connection.scalar(select(AuditEvent.id).limit(1)):
            raise ValueError("the database is in use: give an empty one")
        _write_parents(connection, rows)
    done = 0
    for batch in _batches(images):
        with database.write() as session:
            connection = session.connection()
            for number in batch:
                _add_image(rows, number)
            rows.write(connection)
            connection.execute(
                update(ChainHead)
                .where(ChainHead.id == HEAD)
                .values(
                    event_id=rows.numbers[AuditEvent], hash=rows.previous, events=rows.numbers[AuditEvent]
                )
            )  # fmt: skip
        done += len(batch)
        progress(done)
    _settle_down(database)


def patient_id(number: int) -> str:
    return f"MADE-UP-{number * 7919 % 999_983:06}"


def accession_number(study: int) -> str:
    return f"ACC{study:08}"


def study_uid(study: int) -> str:
    return f"{ROOT}.1.{study}"


def sop_uid(image: int) -> str:
    return f"{ROOT}.3.{image}"


def _series_uid(study: int) -> str:
    return f"{ROOT}.2.{study}"


def _result_uid(prediction: int, place: int) -> str:
    return f"{ROOT}.4.{prediction}.{place}"


def _device_uid(model: int) -> str:
    return f"2.25.{model}"


def _digest(image: int) -> str:
    return hashlib.sha256(str(image).encode()).hexdigest()


def patient_of(study: int) -> int:
    """Five studies of eight are of a patient who has others."""
    return study if study % 8 < 3 else study // 8


def study_of(image: int) -> int:
    """Five images are of four studies."""
    return image * 4 // 5


def _batches(images: int) -> Iterator[range]:
    for first in range(0, images, _AT_ONCE):
        yield range(first, min(images, first + _AT_ONCE))


def _write_parents(connection: Connection, rows: _Rows) -> None:
    ever = {"first_seen_at": FIRST_DAY, "last_seen_at": FIRST_DAY + timedelta(days=365)}
    connection.execute(
        insert(Source), [{"id": place, "name": name, **ever} for place, name in enumerate(SOURCES, start=1)]
    )
    common: dict[str, Any] = {
        "manufacturer": "pneumo", "digest": "ab" * 32, "preprocessing": "{}", "label": "pneumonia",
        "threshold": 0.5, "temperature": 1.0, "registered_at": FIRST_DAY,
    }  # fmt: skip
    models = [
        {"id": place, "device_uid": _device_uid(place), "name": "mobilenet_v2", "version": f"{place}.0.0",
         "state": "active" if place == _MODELS else "idle", **common}
        for place in range(1, _MODELS + 1)
    ]  # fmt: skip
    connection.execute(insert(ModelVersion), models)
    for model in models:
        rows.add_event(
            FIRST_DAY, "model.registered", model["device_uid"], "pneumo", **facts(ModelVersion(**model))
        )  # fmt: skip
    rows.add_event(FIRST_DAY, "model.activated", _device_uid(_MODELS), "pneumo", before="idle")


def _add_image(rows: _Rows, image: int) -> None:
    generator = random.Random(image)  # noqa: S311 - made up, and the same each time
    study, at = study_of(image), FIRST_DAY + timedelta(seconds=image * 86_400 / _IMAGES_A_DAY)
    patient = {"patient_id": patient_id(patient_of(study)), "issuer_of_patient_id": "MADE-UP-HOSPITAL"}
    if rows.numbers.get(Study, 0) == study:
        rows.add(
            Study, study_instance_uid=study_uid(study), accession_number=accession_number(study),
            study_date=f"{at:%Y%m%d}", first_received_at=at, last_received_at=at + timedelta(seconds=20),
            reported_at=at + timedelta(seconds=40), concluded_at=at + timedelta(seconds=40), **patient,
        )  # fmt: skip
    source = generator.choices(range(1, len(SOURCES) + 1), _SHARES)[0]
    instance = rows.add(
        Instance, study_id=study + 1, source_id=source, sop_instance_uid=sop_uid(image),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1", series_instance_uid=_series_uid(study),
        transfer_syntax_uid="1.2.840.10008.1.2.4.70", modality="DX", calling_ae_title=f"XRAY{source}",
        called_ae_title="PNEUMO", peer_address=f"10.0.0.{source}", spool_name=f"received/{image % 256:02x}/{image}.dcm",
        sha256=_digest(image), size_bytes=8_000_000, received_at=at, **patient,
    )  # fmt: skip
    rows.add_event(
        at, "instance.received", sop_uid(image), f"XRAY{source}", sha256=_digest(image), study=study_uid(study),
        series=_series_uid(study), source=SOURCES[source - 1], received_at=moment(at),
    )  # fmt: skip
    finished = at + timedelta(seconds=1.5 + generator.random())
    rows.add(
        Job, instance_id=instance, state="done", attempts=1, due_at=at, woken_at=at, created_at=at, finished_at=finished
    )
    _add_prediction(rows, generator, image, finished)


def _add_prediction(rows: _Rows, generator: random.Random, image: int, at: datetime) -> None:
    chance = generator.random()
    outcome = "failed" if chance < 0.005 else "not_analysed" if chance < 0.1 else ""
    probability = None if outcome else generator.betavariate(0.6, 1.6)
    if probability is not None:
        outcome = "positive" if probability >= 0.5 else "negative"
    model = min(_MODELS, 1 + image // 40_000)
    recalled_at = at + timedelta(days=3) if generator.random() < 0.002 else None
    prediction = rows.add(
        Prediction, instance_id=image + 1, model_version_id=model, outcome=outcome, probability=probability,
        voi="window", stage_seconds={"read": 0.11, "predict": 0.07}, created_at=at, recalled_at=recalled_at,
    )  # fmt: skip
    codes: dict[str, list[str]] = {"warnings": [], "reasons": []}
    if probability is None:
        code = generator.choice(REASONS)
        codes["reasons"].append(code)
        rows.add(PredictionWarning, prediction_id=prediction, severity="reason", code=code, detail=f"About {code}.")
    elif generator.random() < 0.3:
        code = generator.choices(WARNINGS, (60, 30, 9, 1))[0]
        codes["warnings"].append(code)
        rows.add(PredictionWarning, prediction_id=prediction, severity="warning", code=code, detail=f"About {code}.")
    results = [(_result_uid(prediction, place), destination) for place, (_, _, destination) in enumerate(_KINDS)]
    rows.add_event(
        at, f"prediction.{outcome}", sop_uid(image), "pneumo", attempts=1, prediction=prediction,
        device_uid=_device_uid(model), probability=probability, voi="window", **codes, pictures=[],
        objects=[[uid, _RESULT_SHA256] for uid, _ in results], deliveries=[[*each] for each in results],
        created_at=moment(at),
    )  # fmt: skip
    if recalled_at:
        rows.add_event(
            recalled_at, "prediction.recalled", study_uid(study_of(image)), "cli:admin", withdrawn=[prediction]
        )  # fmt: skip
    if generator.random() < 0.02:
        _add_feedback(rows, generator, image, prediction, at + timedelta(hours=2))
    _add_results(rows, generator, study_of(image) + 1, prediction, at)


def _add_feedback(rows: _Rows, generator: random.Random, image: int, prediction: int, at: datetime) -> None:
    said = {
        "agreement": generator.choices(("agree", "disagree", "unsure"), (8, 1, 1))[0],
        "reader": f"reader-{generator.randrange(9)}",
    }
    number = rows.add(Feedback, prediction_id=prediction, comment="", principal="pages", created_at=at, **said)
    rows.add_event(
        at, "feedback.given", sop_uid(image), "pages", feedback=number, prediction=prediction, true_label=None,
        created_at=moment(at), **said,
    )  # fmt: skip


def _add_results(rows: _Rows, generator: random.Random, study_id: int, prediction: int, at: datetime) -> None:
    fate = generator.random()
    for place, (kind, sop_class_uid, destination) in enumerate(_KINDS):
        uid = _result_uid(prediction, place)
        result = rows.add(
            ResultObject, study_id=study_id, prediction_id=prediction, kind=kind, sop_class_uid=sop_class_uid,
            sop_instance_uid=uid, series_instance_uid=f"{ROOT}.5.{prediction}", sha256=_RESULT_SHA256,
            spool_name=f"results/{prediction % 256:02x}/{prediction}-{place}", created_at=at,
        )  # fmt: skip
        message = not sop_class_uid
        dead, sent = not message and fate < 0.003, message or fate < 0.006
        state = "dead" if dead else "sent" if sent else "confirmed"
        rows.add(
            Delivery, result_object_id=result, destination=destination, state=state, attempts=1, due_at=at,
            first_due_at=at, last_status=0x0122 if dead else 202 if message else 0,
            last_error="sop_class_not_supported" if dead else None, sent_at=None if dead else at + timedelta(seconds=9),
            confirmed_at=at + timedelta(seconds=70) if state == "confirmed" else None,
        )  # fmt: skip
        became = "delivery.dead" if dead else "delivery.sent"
        rows.add_event(at + timedelta(seconds=9), became, uid, "pneumo", destination=destination, attempts=1)
        if state == "confirmed":
            confirmed = at + timedelta(seconds=70)
            rows.add_event(confirmed, "delivery.confirmed", uid, "pneumo", destination=destination)


def _settle_down(database: Database) -> None:
    """Ids go on after ours, and PostgreSQL knows how many rows a value has, as its autovacuum would see to."""
    if database.is_sqlite:
        return
    with database.write() as session:
        for table in Base.metadata.sorted_tables:
            if "id" in table.c and table.name != AuditEvent.__tablename__:
                last = select(text("max(id)")).select_from(table).scalar_subquery()
                session.execute(
                    select(text(f"setval(pg_get_serial_sequence('{table.name}', 'id'), GREATEST(1, m))")).select_from(
                        select(last.label("m")).subquery()
                    )
                )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
