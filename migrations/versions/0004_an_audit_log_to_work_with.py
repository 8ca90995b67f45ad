"""an audit log to work with

Revision: 0004, after 0003

The chain of audit events and the triggers that keep it, scopes and expiry of keys, sessions, uploads, pictures,
feedback, alerts, indexes for the filters of the API. Events that are there are chained in the order of their ids; keys
that are there go on doing what they could. On SQLite the table of predictions is copied, since its key changes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import rfc8785
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_MOMENT = sa.DateTime(timezone=True)
_UID = sa.String(64)
_GENESIS = "0" * 64
_AT_ONCE = 1000
_SCOPES_OF_OLD_KEYS = '["audit:read", "phi:read"]'

_INDEXES: tuple[tuple[str, str, list[str]], ...] = (
    ("ix_studies_accession_number", "studies", ["accession_number"]),
    ("ix_studies_last_received_at_id", "studies", ["last_received_at", "id"]),
    ("ix_studies_first_received_at_id", "studies", ["first_received_at", "id"]),
    ("ix_instances_received_at_id", "instances", ["received_at", "id"]),
    ("ix_instances_source_id_received_at", "instances", ["source_id", "received_at"]),
    ("ix_instances_series_instance_uid", "instances", ["series_instance_uid"]),
    ("ix_jobs_finished_at", "jobs", ["finished_at"]),
    ("ix_predictions_instance_id", "predictions", ["instance_id"]),
    ("ix_predictions_created_at_id", "predictions", ["created_at", "id"]),
    ("ix_predictions_outcome_created_at_id", "predictions", ["outcome", "created_at", "id"]),
    ("ix_predictions_model_version_id_created_at_id", "predictions", ["model_version_id", "created_at", "id"]),
    ("ix_predictions_probability_id", "predictions", ["probability", "id"]),
    ("ix_warnings_code_prediction_id", "warnings", ["code", "prediction_id"]),
    ("ix_result_objects_created_at_id", "result_objects", ["created_at", "id"]),
    ("ix_deliveries_state_id", "deliveries", ["state", "id"]),
    ("ix_deliveries_destination_state_id", "deliveries", ["destination", "state", "id"]),
    ("ix_audit_events_actor_id", "audit_events", ["actor", "id"]),
    ("ix_audit_events_at", "audit_events", ["at"]),
)

_POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN RAISE EXCEPTION 'audit events are only ever added: % refused', TG_OP; END $$""",
    """CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events
       FOR EACH ROW EXECUTE FUNCTION audit_events_stay()""",
    """CREATE TRIGGER audit_events_are_not_emptied BEFORE TRUNCATE ON audit_events
       FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay()""",
)
_SQLITE_TRIGGERS = (
    *(
        f"""CREATE TRIGGER audit_events_refuse_{verb.lower()} BEFORE {verb} ON audit_events
            BEGIN SELECT RAISE(ABORT, 'audit events are only ever added: {verb} refused'); END"""
        for verb in ("UPDATE", "DELETE")
    ),
    # The row that REPLACE removes fires no DELETE trigger unless recursive_triggers is on.
    """CREATE TRIGGER audit_events_refuse_replace BEFORE INSERT ON audit_events
       WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
       BEGIN SELECT RAISE(ABORT, 'audit events are only ever added: REPLACE refused'); END""",
)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    _chain_events()
    _open_doors()
    _widen_analysis()
    _take_uploads()
    _erase()
    _watch()
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)
    if op.get_bind().dialect.name == "postgresql":
        # Most deliveries to a PACS are confirmed and most to a webhook are not: left alone, the planner expects a
        # third of the table where a few rows are looked for.
        op.execute("CREATE STATISTICS deliveries_by_place (mcv) ON destination, state FROM deliveries")
    _partial("ix_predictions_recalled", "predictions", ["created_at", "id"], "recalled_at IS NOT NULL")


def _chain_events() -> None:
    for column in ("previous", "hash"):
        op.add_column("audit_events", sa.Column(column, _UID, nullable=True))
    head = _hash_events()
    with op.batch_alter_table("audit_events") as batch:
        for column in ("previous", "hash"):
            batch.alter_column(column, existing_type=_UID, nullable=False)
    table = op.create_table(
        "chain_head",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", _UID, nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chain_head"),
    )
    op.bulk_insert(table, [head])
    op.create_table(
        "event_readers",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("token", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_event_readers"),
    )
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _POSTGRESQL_TRIGGERS if on_postgresql else _SQLITE_TRIGGERS:
        op.execute(statement)


def _hash_events() -> dict[str, object]:
    """The head of the chain that the events which are there become."""
    events = sa.table(
        "audit_events",
        sa.column("id", _KEY),
        sa.column("at", _MOMENT),
        *(sa.column(name, sa.String()) for name in ("kind", "subject", "actor", "previous", "hash")),
        sa.column("data", _DOCUMENT),
    )
    connection, last_id, previous, count = op.get_bind(), 0, _GENESIS, 0
    while True:
        rows = connection.execute(
            sa.select(events).where(events.c.id > last_id).order_by(events.c.id).limit(_AT_ONCE)
        ).all()
        if not rows:
            return {"id": 1, "event_id": last_id, "hash": previous, "events": count}
        for row in rows:
            digest = _digest(row, previous)
            connection.execute(sa.update(events).where(events.c.id == row.id).values(previous=previous, hash=digest))
            last_id, previous, count = row.id, digest, count + 1


def _digest(row: sa.Row[Any], previous: str) -> str:
    at: datetime = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)
    document = {
        "id": row.id, "at": at.astimezone(UTC).isoformat(timespec="microseconds"), "kind": row.kind,
        "subject": row.subject, "actor": row.actor, "data": json.loads(json.dumps(row.data)), "previous": previous,
    }  # fmt: skip
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def _open_doors() -> None:
    op.add_column("api_keys", sa.Column("scopes", _DOCUMENT, server_default=_SCOPES_OF_OLD_KEYS, nullable=False))
    with op.batch_alter_table("api_keys") as batch:
        batch.alter_column("scopes", existing_type=_DOCUMENT, existing_nullable=False, server_default=None)
    for column in ("expires_at", "last_used_at"):
        op.add_column("api_keys", sa.Column(column, _MOMENT, nullable=True))
    op.create_table(
        "browser_sessions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("token_sha256", _UID, nullable=False),
        sa.Column("csrf_token", _UID, nullable=False),
        sa.Column("principal", _UID, nullable=False),
        sa.Column("scopes", _DOCUMENT, nullable=False),
        sa.Column("key_id", _KEY, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_browser_sessions_key_id_api_keys"),
        sa.PrimaryKeyConstraint("id", name="pk_browser_sessions"),
        sa.UniqueConstraint("token_sha256", name="uq_browser_sessions_token_sha256"),
    )


def _widen_analysis() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default="1", nullable=False))
    op.add_column("jobs", sa.Column("generation", sa.Integer(), server_default="1", nullable=False))
    op.add_column("jobs", sa.Column("request_id", _UID, nullable=True))
    op.add_column("jobs", sa.Column("traceparent", _UID, nullable=True))
    op.drop_index("ix_jobs_due", table_name="jobs")
    _partial("ix_jobs_due", "jobs", ["priority", "due_at"], "state = 'pending'")
    op.drop_index("ix_predictions_created_at", table_name="predictions")
    op.drop_index("ix_warnings_code", table_name="warnings")
    with op.batch_alter_table("predictions") as batch:
        batch.drop_constraint("uq_predictions_instance_id_model_version_id", type_="unique")
    _partial(
        "uq_predictions_standing",
        "predictions",
        ["instance_id", "model_version_id"],
        "recalled_at IS NULL",
        unique=True,
    )
    op.add_column("heartbeats", sa.Column("about", _DOCUMENT, nullable=True))
    op.create_table(
        "pictures",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("prediction_id", _KEY, nullable=False),
        sa.Column("kind", _words("picturekind", "original", "heatmap", "overlay"), nullable=False),
        sa.Column("spool_name", sa.String(128), nullable=False),
        sa.Column("sha256", _UID, nullable=False),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_pictures_prediction_id_predictions"),
        sa.PrimaryKeyConstraint("id", name="pk_pictures"),
        sa.UniqueConstraint("prediction_id", "kind", name="uq_pictures_prediction_id_kind"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("prediction_id", _KEY, nullable=False),
        sa.Column("agreement", _words("agreement", "agree", "disagree", "unsure"), nullable=False),
        sa.Column("true_label", _words("truelabel", "pneumonia", "no_pneumonia"), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("reader", _UID, nullable=False),
        sa.Column("principal", _UID, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_feedback_prediction_id_predictions"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_prediction_id", "feedback", ["prediction_id"])
    op.create_index("ix_feedback_created_at", "feedback", ["created_at"])


def _take_uploads() -> None:
    op.add_column(
        "instances", sa.Column("media_type", sa.String(32), server_default="application/dicom", nullable=False)
    )
    op.create_table(
        "uploads",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("instance_id", _KEY, nullable=False),
        sa.Column("content_sha256", _UID, nullable=False),
        sa.Column("use_tta", sa.Boolean(), nullable=False),
        sa.Column("principal", _UID, nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("original_sop_instance_uid", _UID, nullable=False),
        sa.Column("original_study_instance_uid", _UID, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_uploads_instance_id_instances"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("instance_id", name="uq_uploads_instance_id"),
    )
    op.create_index("ix_uploads_content_sha256", "uploads", ["content_sha256"])
    op.create_index("ix_uploads_original_sop_instance_uid", "uploads", ["original_sop_instance_uid"])
    op.create_table(
        "idempotent_requests",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("principal", _UID, nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("request_sha256", _UID, nullable=False),
        sa.Column("answer", _DOCUMENT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotent_requests"),
        sa.UniqueConstraint("principal", "key", name="uq_idempotent_requests_principal_key"),
    )
    op.create_index("ix_idempotent_requests_created_at", "idempotent_requests", ["created_at"])


def _erase() -> None:
    op.add_column("studies", sa.Column("erased_at", _MOMENT, nullable=True))
    op.create_table(
        "erased_files",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("spool_name", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erased_files"),
    )


def _watch() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.Column("acknowledged_at", _MOMENT, nullable=True),
        sa.Column("acknowledged_by", sa.String(64), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    _partial("uq_alerts_open", "alerts", ["code", "subject"], "closed_at IS NULL", unique=True)


def downgrade() -> None:
    """Older code reads one answer of a model for an image: those that were withdrawn for another one go."""
    op.drop_index("ix_predictions_recalled", table_name="predictions")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP STATISTICS deliveries_by_place")
    for name, table, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    op.drop_table("alerts")
    _forget_uploads()
    for table in ("feedback", "pictures", "erased_files", "browser_sessions", "event_readers", "chain_head"):
        op.drop_table(table)
    op.drop_column("studies", "erased_at")
    op.drop_column("heartbeats", "about")
    _one_answer_for_each_model()
    op.create_index("ix_predictions_created_at", "predictions", ["created_at"])
    op.create_index("ix_warnings_code", "warnings", ["code"])
    op.drop_index("ix_jobs_due", table_name="jobs")
    _partial("ix_jobs_due", "jobs", ["due_at"], "state = 'pending'")
    for column in ("traceparent", "request_id", "generation", "priority"):
        op.drop_column("jobs", column)
    for column in ("last_used_at", "expires_at", "scopes"):
        op.drop_column("api_keys", column)
    _unchain_events()


def _forget_uploads() -> None:
    uploaded = "SELECT instance_id FROM uploads"
    predictions = f"SELECT id FROM predictions WHERE instance_id IN ({uploaded})"  # noqa: S608 - ours
    for table in ("pictures", "feedback", "warnings"):
        op.execute(f"DELETE FROM {table} WHERE prediction_id IN ({predictions})")  # noqa: S608 - ours
    for table in ("predictions", "jobs"):
        op.execute(f"DELETE FROM {table} WHERE instance_id IN ({uploaded})")  # noqa: S608 - ours
    op.execute("CREATE TEMPORARY TABLE uploaded AS SELECT instance_id FROM uploads")
    op.drop_table("uploads")
    op.drop_table("idempotent_requests")
    op.execute("DELETE FROM instances WHERE id IN (SELECT instance_id FROM uploaded)")
    op.execute("DROP TABLE uploaded")
    op.execute("DELETE FROM studies WHERE id NOT IN (SELECT study_id FROM instances)")
    op.drop_column("instances", "media_type")


def _one_answer_for_each_model() -> None:
    newer = (
        "SELECT older.id FROM predictions older JOIN predictions newer ON newer.instance_id = older.instance_id"
        " AND newer.model_version_id = older.model_version_id AND newer.id > older.id"
    )
    objects = f"SELECT id FROM result_objects WHERE prediction_id IN ({newer})"  # noqa: S608 - ours
    op.execute(f"DELETE FROM deliveries WHERE result_object_id IN ({objects})")  # noqa: S608 - ours
    for table in ("result_objects", "warnings"):
        op.execute(f"DELETE FROM {table} WHERE prediction_id IN ({newer})")  # noqa: S608 - ours
    op.execute(f"DELETE FROM predictions WHERE id IN ({newer})")  # noqa: S608 - ours
    op.drop_index("uq_predictions_standing", table_name="predictions")
    with op.batch_alter_table("predictions") as batch:
        batch.create_unique_constraint(
            "uq_predictions_instance_id_model_version_id", ["instance_id", "model_version_id"]
        )


def _unchain_events() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for trigger in ("audit_events_stay", "audit_events_are_not_emptied"):
            op.execute(f"DROP TRIGGER {trigger} ON audit_events")
        op.execute("DROP FUNCTION audit_events_stay()")
        op.execute(
            "SELECT setval(pg_get_serial_sequence('audit_events', 'id'), (SELECT max(id) FROM audit_events))"
            " WHERE EXISTS (SELECT 1 FROM audit_events)"
        )
    else:
        for verb in ("update", "delete", "replace"):
            op.execute(f"DROP TRIGGER audit_events_refuse_{verb}")
    for column in ("hash", "previous"):
        op.drop_column("audit_events", column)
