"""The tables. ``docs/states.md`` draws how the rows of jobs and deliveries move."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy import DateTime as SQLDateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from core.records import DeliveryState, Outcome, ResultKind


def now() -> datetime:
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on every database; SQLite keeps no zone of its own."""

    impl = SQLDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are stored in UTC: expected an aware datetime, got a naive one")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - hook
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


UID = String(64)  # PS3.5 9.1
AETitleColumn = String(16)  # PS3.5 6.2
AsReceived = Text()  # senders exceed the lengths of PS3.5 6.2, and what was received is what is kept
Key = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY counts up by itself on SQLite
Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
DICOM = "application/dicom"


def _words(enumeration: type[StrEnum]) -> Enum:
    """Stored as the word itself, with a CHECK: readable in any SQL client, the same on every database."""
    return Enum(
        enumeration,
        native_enum=False,
        length=32,
        create_constraint=True,
        name=enumeration.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


class Priority(IntEnum):
    """Which due job is claimed first."""

    SOMEONE_WAITS = 0
    NORMAL = 1
    AGAIN = 2


class JobState(StrEnum):
    PENDING = "pending"
    DONE = "done"


class CommitmentState(StrEnum):
    PENDING = "pending"
    ANSWERED = "answered"
    DEAD = "dead"


class PullState(StrEnum):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class ModelState(StrEnum):
    """Exactly one model is active. What a model in shadow predicts is kept and never reported."""

    ACTIVE = "active"
    SHADOW = "shadow"
    IDLE = "idle"


class Role(StrEnum):
    """In which state the model was when it judged an image."""

    ACTIVE = "active"
    SHADOW = "shadow"


class Agreement(StrEnum):
    """What a reader says of a prediction."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"


class TrueLabel(StrEnum):
    """What the image shows, in a reader's judgement."""

    PNEUMONIA = "pneumonia"
    NO_PNEUMONIA = "no_pneumonia"


class PictureKind(StrEnum):
    ORIGINAL = "original"
    """The radiograph as the model saw it, grey."""
    HEATMAP = "heatmap"
    OVERLAY = "overlay"
    """What the Secondary Capture shows."""


class Severity(StrEnum):
    """A warning stands beside a prediction; a reason says why there is none."""

    WARNING = "warning"
    REASON = "reason"


def _index_of_some(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """A partial index: the rows that wait are few, and asked for every other second."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime(), dict[str, Any]: Document}  # noqa: RUF012 - SQLAlchemy's hook


class Leased:
    """What a worker needs to claim a row, and to lose it.

    A pending row is free to claim when it is due and no lease on it runs. ``token`` fences: whoever writes the end of
    the work must still hold it. ``woken_at`` is when a message was last sent for the row.
    """

    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    woken_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    token: Mapped[str | None] = mapped_column(String(32))
    last_error: Mapped[str | None] = mapped_column(String(64))


class Source(Base):
    """A configured sender that has sent something."""

    __tablename__ = "sources"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    first_seen_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)


class Study(Base):
    __tablename__ = "studies"
    __table_args__ = (
        Index(None, "patient_id"),
        _index_of_some("ix_studies_unreported", "last_received_at", where="reported_at IS NULL"),
        _index_of_some(
            "ix_studies_unconcluded", "reported_at", where="reported_at IS NOT NULL AND concluded_at IS NULL"
        ),
        Index(None, "accession_number"),
        Index(None, "last_received_at", "id"),
        Index(None, "first_received_at", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    patient_id: Mapped[str] = mapped_column(AsReceived)
    issuer_of_patient_id: Mapped[str] = mapped_column(AsReceived)
    accession_number: Mapped[str] = mapped_column(AsReceived)
    study_date: Mapped[str] = mapped_column(AsReceived)
    """YYYYMMDD or empty, by the standard."""
    first_received_at: Mapped[datetime] = mapped_column(default=now)
    last_received_at: Mapped[datetime] = mapped_column(default=now)
    reported_at: Mapped[datetime | None]
    """When its results were let go; None again when another image arrives."""
    concluded_at: Mapped[datetime | None]
    """When results about the study as a whole were made after that, or nobody wanted any."""
    erased_at: Mapped[datetime | None]
    """When what tells of the patient was erased, here, in its images and in the spool: a tombstone."""

    instances: Mapped[list[Instance]] = relationship(back_populates="study", order_by="Instance.id")


class Instance(Base):
    """An image as received. Its patient is kept even where the study is known under another one."""

    __tablename__ = "instances"
    __table_args__ = (
        Index(None, "study_id"),
        Index(None, "patient_id"),
        Index(None, "received_at", "id"),
        Index(None, "source_id", "received_at"),
        Index(None, "series_instance_uid"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    modality: Mapped[str] = mapped_column(AsReceived)
    patient_id: Mapped[str] = mapped_column(AsReceived)
    issuer_of_patient_id: Mapped[str] = mapped_column(AsReceived)
    calling_ae_title: Mapped[str] = mapped_column(AETitleColumn)
    called_ae_title: Mapped[str] = mapped_column(AETitleColumn)
    peer_address: Mapped[str] = mapped_column(String(45))
    spool_name: Mapped[str] = mapped_column(String(128))
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the data set as it came over the wire."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(32), default=DICOM, server_default=DICOM)
    """Of the spooled file: uploads may be ``image/jpeg`` or ``image/png``."""
    received_at: Mapped[datetime] = mapped_column(default=now)

    study: Mapped[Study] = relationship(back_populates="instances")
    source: Mapped[Source] = relationship()
    job: Mapped[Job] = relationship(back_populates="instance")
    predictions: Mapped[list[Prediction]] = relationship(back_populates="instance", order_by="Prediction.id")
    upload: Mapped[Upload | None] = relationship(back_populates="instance")


class Upload(Base):
    """How an image came that was given to the prediction service instead of the AE title.

    Its instance stands apart: UIDs of its own, no destination, never queried or retrieved by DICOM.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "content_sha256"), Index(None, "original_sop_instance_uid"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instances.id"), unique=True)
    content_sha256: Mapped[str] = mapped_column(String(64))
    """Of the file as uploaded."""
    use_tta: Mapped[bool] = mapped_column(default=False)
    principal: Mapped[str] = mapped_column(String(64))
    """Who uploaded it first: a key's name, or the subject of a token."""
    columns: Mapped[int]
    rows: Mapped[int]
    original_sop_instance_uid: Mapped[str] = mapped_column(UID, default="")
    """Of a DICOM file."""
    original_study_instance_uid: Mapped[str] = mapped_column(UID, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)

    instance: Mapped[Instance] = relationship(back_populates="upload")


class IdempotentRequest(Base):
    """What a request with an Idempotency-Key was, and what it led to."""

    __tablename__ = "idempotent_requests"
    __table_args__ = (UniqueConstraint("principal", "key"), Index(None, "created_at"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    principal: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(128))
    request_sha256: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any] | None] = mapped_column(Document)
    """``{"status": ..., "body": ...}``; None while the first one is still being worked on."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(Leased, Base):
    """The analysis of one instance by whichever model is active when it is claimed."""

    __tablename__ = "jobs"
    __table_args__ = (
        _index_of_some("ix_jobs_due", "priority", "due_at", where="state = 'pending'"),
        Index(None, "finished_at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instances.id"), unique=True)
    state: Mapped[JobState] = mapped_column(_words(JobState), default=JobState.PENDING)
    priority: Mapped[int] = mapped_column(default=Priority.NORMAL, server_default=str(Priority.NORMAL.value))
    generation: Mapped[int] = mapped_column(default=1, server_default="1")
    """Counts the analyses that had to be told apart from an earlier one by the same model: part of derived UIDs."""
    request_id: Mapped[str | None] = mapped_column(String(64))
    """Of the HTTP request that asked for it."""
    traceparent: Mapped[str | None] = mapped_column(String(64))
    """W3C Trace Context of that request."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]

    instance: Mapped[Instance] = relationship(back_populates="job")


class ModelVersion(Base):
    """Everything that decides a prediction, under the Device UID that stands for it."""

    __tablename__ = "model_versions"
    __table_args__ = (_index_of_some("uq_model_versions_active", "state", where="state = 'active'", unique=True),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    device_uid: Mapped[str] = mapped_column(UID, unique=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    manufacturer: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    preprocessing: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(String(64))
    threshold: Mapped[float]
    temperature: Mapped[float]
    registered_at: Mapped[datetime] = mapped_column(default=now)
    state: Mapped[ModelState] = mapped_column(_words(ModelState), default=ModelState.IDLE, server_default="idle")
    state_since: Mapped[datetime | None]
    """None where it never was anything but idle."""
    folder: Mapped[str | None] = mapped_column(String(160))
    """Of its files in the store; None for the model that is shipped, and for one that only a setting names."""


class Prediction(Base):
    """The one outcome of an instance under a model version that stands. ``probability`` is None unless it judged.

    Rows of role shadow have no result objects and are no answer to what was reported: who reads predictions says which.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        _index_of_some(
            "uq_predictions_standing", "instance_id", "model_version_id", where="recalled_at IS NULL", unique=True
        ),
        Index(None, "instance_id"),
        Index(None, "created_at", "id"),
        Index(None, "outcome", "created_at", "id"),
        Index(None, "model_version_id", "created_at", "id"),
        Index(None, "probability", "id"),
        _index_of_some("ix_predictions_recalled", "created_at", "id", where="recalled_at IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instances.id"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    role: Mapped[Role] = mapped_column(_words(Role), default=Role.ACTIVE, server_default="active")
    outcome: Mapped[Outcome] = mapped_column(_words(Outcome))
    probability: Mapped[float | None]
    voi: Mapped[str | None] = mapped_column(String(16))
    stage_seconds: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    recalled_at: Mapped[datetime | None]
    """When it was withdrawn, by `pneumo recall` or for another analysis."""

    instance: Mapped[Instance] = relationship(back_populates="predictions")
    model_version: Mapped[ModelVersion] = relationship()
    warnings: Mapped[list[PredictionWarning]] = relationship(
        back_populates="prediction", order_by="PredictionWarning.id"
    )
    result_objects: Mapped[list[ResultObject]] = relationship(back_populates="prediction", order_by="ResultObject.id")
    pictures: Mapped[list[Picture]] = relationship(back_populates="prediction", order_by="Picture.id")
    feedback: Mapped[list[Feedback]] = relationship(back_populates="prediction", order_by="Feedback.id")


class Picture(Base):
    """A PNG for the pages and the API, at rest in the spool; there are some where the model judged the image."""

    __tablename__ = "pictures"
    __table_args__ = (UniqueConstraint("prediction_id", "kind"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    prediction_id: Mapped[int] = mapped_column(ForeignKey("predictions.id"))
    kind: Mapped[PictureKind] = mapped_column(_words(PictureKind))
    spool_name: Mapped[str] = mapped_column(String(128))
    sha256: Mapped[str] = mapped_column(String(64))

    prediction: Mapped[Prediction] = relationship(back_populates="pictures")


class Feedback(Base):
    """What a reader said of a prediction. A later one of the same reader stands in its place; none is changed."""

    __tablename__ = "feedback"
    __table_args__ = (Index(None, "prediction_id"), Index(None, "created_at"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    prediction_id: Mapped[int] = mapped_column(ForeignKey("predictions.id"))
    agreement: Mapped[Agreement] = mapped_column(_words(Agreement))
    true_label: Mapped[TrueLabel | None] = mapped_column(_words(TrueLabel))
    comment: Mapped[str] = mapped_column(Text, default="")
    """Free text, in which people write names: erased with the patient's data."""
    reader: Mapped[str] = mapped_column(String(64))
    """Who read the image, as the caller says."""
    principal: Mapped[str] = mapped_column(String(64))
    """Who sent it: a key's name, or the subject of a token."""
    created_at: Mapped[datetime] = mapped_column(default=now)

    prediction: Mapped[Prediction] = relationship(back_populates="feedback")


class PredictionWarning(Base):
    __tablename__ = "warnings"
    __table_args__ = (Index(None, "prediction_id"), Index(None, "code", "prediction_id"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    prediction_id: Mapped[int] = mapped_column(ForeignKey("predictions.id"))
    severity: Mapped[Severity] = mapped_column(_words(Severity))
    code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)

    prediction: Mapped[Prediction] = relationship(back_populates="warnings")


class ResultObject(Base):
    """An object or message we made, kept as bytes and sent as these bytes only."""

    __tablename__ = "result_objects"
    __table_args__ = (Index(None, "prediction_id"), Index(None, "study_id"), Index(None, "created_at", "id"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    prediction_id: Mapped[int | None] = mapped_column(ForeignKey("predictions.id"))
    """None for what is said about a study as a whole."""
    kind: Mapped[ResultKind] = mapped_column(_words(ResultKind))
    sop_class_uid: Mapped[str] = mapped_column(UID)
    """Empty for a message."""
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    spool_name: Mapped[str] = mapped_column(String(128))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)

    study: Mapped[Study] = relationship()
    prediction: Mapped[Prediction | None] = relationship(back_populates="result_objects")
    deliveries: Mapped[list[Delivery]] = relationship(back_populates="result_object", order_by="Delivery.id")


class Delivery(Leased, Base):
    """One result object for one destination. ``due_at`` is None while its study may still grow."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("result_object_id", "destination"),
        _index_of_some("ix_deliveries_due", "destination", "due_at", where="state = 'pending'"),
        _index_of_some("ix_deliveries_unconfirmed", "destination", "confirm_at", where="confirm_at IS NOT NULL"),
        Index(None, "transaction_uid"),
        Index(None, "state", "id"),
        Index(None, "destination", "state", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    result_object_id: Mapped[int] = mapped_column(ForeignKey("result_objects.id"))
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[DeliveryState] = mapped_column(_words(DeliveryState), default=DeliveryState.PENDING)
    last_status: Mapped[int | None]
    """The last status of C-STORE or HTTP, or None where there was no answer."""
    first_due_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    confirm_at: Mapped[datetime | None]
    """When the destination is asked whether it has the object; None where it is not asked (any more)."""
    confirmed_at: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(UID)
    """Of the storage commitment that was last asked for."""
    repeats: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often it was sent again because the destination did not have it."""

    result_object: Mapped[ResultObject] = relationship(back_populates="deliveries")


class CommitmentRequest(Leased, Base):
    """A modality's question whether we have what it sent, until our answer has reached it (PS3.4 J)."""

    __tablename__ = "commitment_requests"
    __table_args__ = (_index_of_some("ix_commitment_requests_due", "due_at", where="state = 'pending'"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(UID)
    source: Mapped[str] = mapped_column(String(64))
    calling_ae_title: Mapped[str] = mapped_column(AETitleColumn)
    called_ae_title: Mapped[str] = mapped_column(AETitleColumn)
    references: Mapped[dict[str, Any]]
    """``{"instances": [[SOP Class UID, SOP Instance UID], ...]}``"""
    state: Mapped[CommitmentState] = mapped_column(_words(CommitmentState), default=CommitmentState.PENDING)
    received_at: Mapped[datetime] = mapped_column(default=now)
    answered_at: Mapped[datetime | None]


class Pull(Base):
    """A back-fill: which studies were asked for, so that it can go on where it stopped."""

    __tablename__ = "pulls"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    archive: Mapped[str] = mapped_column(String(64))
    query: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]

    studies: Mapped[list[PulledStudy]] = relationship(back_populates="pull", order_by="PulledStudy.id")


class PulledStudy(Base):
    __tablename__ = "pulled_studies"
    __table_args__ = (UniqueConstraint("pull_id", "study_instance_uid"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    pull_id: Mapped[int] = mapped_column(ForeignKey("pulls.id"))
    study_instance_uid: Mapped[str] = mapped_column(UID)
    state: Mapped[PullState] = mapped_column(_words(PullState), default=PullState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    images: Mapped[int | None]
    """How many came."""
    last_error: Mapped[str | None] = mapped_column(String(64))
    finished_at: Mapped[datetime | None]

    pull: Mapped[Pull] = relationship(back_populates="studies")


class ErasedFile(Base):
    """A file of the spool that no other row names any more since its study was erased, until it is gone."""

    __tablename__ = "erased_files"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    spool_name: Mapped[str] = mapped_column(String(128))


class AuditEvent(Base):
    """Something that happened, named ``subject.action``: association.refused, instance.received, delivery.dead.

    Rows are only ever added (a trigger refuses the rest), and each carries the hash of the one before it: see
    ``audit.chain``. They hold nothing of a patient, so nothing in here ever has to be erased.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "kind", "id"),
        Index(None, "subject"),
        Index(None, "actor", "id"),
        Index(None, "at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    """The UID or row the event is about; empty when there is none."""
    actor: Mapped[str] = mapped_column(String(64))
    """Who caused it: a calling AE title, an API key's name, or the process."""
    data: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    """Hash of the event before it; 64 zeros for the first."""
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of its canonical JSON (RFC 8785), ``previous`` included."""


class ChainHead(Base):
    """The one row that says where the chain of audit events ends; locked by whoever adds to it."""

    __tablename__ = "chain_head"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, default=0)
    hash: Mapped[str] = mapped_column(String(64))
    events: Mapped[int] = mapped_column(BigInteger, default=0)
    """How many there are."""


class EventReader(Base):
    """How far someone has read the audit events: the syslog of DICOM audit messages, the outside anchor."""

    __tablename__ = "event_readers"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, default=0)
    at: Mapped[datetime] = mapped_column(default=now)
    lease_until: Mapped[datetime | None]
    token: Mapped[str | None] = mapped_column(String(32))


class Alert(Base):
    """Something that needs a person, open from when it was first seen until it was seen to be over."""

    __tablename__ = "alerts"
    __table_args__ = (_index_of_some("uq_alerts_open", "code", "subject", where="closed_at IS NULL", unique=True),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    code: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    """The destination, source, queue or model it is about; empty when there is none."""
    detail: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime] = mapped_column(default=now)
    closed_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Text, default="", server_default="")


class APIKey(Base):
    """Only the hash is kept; the key itself is shown once, when it is made."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(8), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Document)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute."""


class BrowserSession(Base):
    """Someone signed in to the pages. Only the hash of the cookie's token is kept."""

    __tablename__ = "browser_sessions"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    principal: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Document)
    key_id: Mapped[int | None] = mapped_column(ForeignKey("api_keys.id"))
    """The key it was opened with, whose end is its end; None for OpenID Connect."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Heartbeat(Base):
    """When a worker last took a message off its queue: alive and consuming, not only alive."""

    __tablename__ = "heartbeats"

    queue: Mapped[str] = mapped_column(String(32), primary_key=True)
    worker: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    about: Mapped[dict[str, Any] | None] = mapped_column(Document)
    """Of an inference worker: what ``core.records.ModelInCharge`` holds."""
