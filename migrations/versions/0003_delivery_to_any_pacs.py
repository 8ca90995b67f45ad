"""delivery to any PACS

Revision: 0003, after 0002

Results about a study as a whole, more kinds of them, confirmation of deliveries, storage commitment for modalities,
back-fills. On SQLite the table of result objects is copied, since its CHECK changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OLD_KINDS = ("secondary_capture", "report")
_NEW_KINDS = (
    "report_3d",
    "report_stone",
    "presentation_state",
    "segmentation",
    "encapsulated_pdf",
    "study_summary",
    "key_objects",
    "rejection_note",
    "webhook_event",
    "hl7_message",
)
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_STUDY_OF_RESULT = sa.text(
    "UPDATE result_objects SET study_id = (SELECT instances.study_id FROM predictions"
    " JOIN instances ON instances.id = predictions.instance_id WHERE predictions.id = result_objects.prediction_id)"
)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def _check_kinds(batch: BatchOperations, kinds: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name != "sqlite":  # whose copy of the table has no CHECK yet
        batch.drop_constraint(op.f("ck_result_objects_resultkind"), type_="check")
    batch.create_check_constraint(op.f("ck_result_objects_resultkind"), sa.column("kind").in_(kinds))


def upgrade() -> None:
    op.add_column("result_objects", sa.Column("study_id", _KEY, nullable=True))
    op.execute(_STUDY_OF_RESULT)
    with op.batch_alter_table("result_objects") as batch:
        batch.alter_column("study_id", existing_type=_KEY, nullable=False)
        batch.alter_column("prediction_id", existing_type=_KEY, nullable=True)
        _check_kinds(batch, (*_OLD_KINDS, *_NEW_KINDS))
        batch.create_foreign_key("fk_result_objects_study_id_studies", "studies", ["study_id"], ["id"])
    op.create_index("ix_result_objects_study_id", "result_objects", ["study_id"])

    for column in ("confirm_at", "confirmed_at"):
        op.add_column("deliveries", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("deliveries", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    op.add_column("deliveries", sa.Column("repeats", sa.Integer(), server_default="0", nullable=False))
    waiting = sa.text("confirm_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_unconfirmed",
        "deliveries",
        ["destination", "confirm_at"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    op.create_index("ix_deliveries_transaction_uid", "deliveries", ["transaction_uid"])
    op.add_column("studies", sa.Column("concluded_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE studies SET concluded_at = reported_at")
    unconcluded = sa.text("reported_at IS NOT NULL AND concluded_at IS NULL")
    op.create_index(
        "ix_studies_unconcluded",
        "studies",
        ["reported_at"],
        postgresql_where=unconcluded,
        sqlite_where=unconcluded,
    )
    op.add_column("predictions", sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=True))

    op.create_table(
        "commitment_requests",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("called_ae_title", sa.String(length=16), nullable=False),
        sa.Column("references", _DOCUMENT, nullable=False),
        sa.Column("state", _words("commitmentstate", "pending", "answered", "dead"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("woken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("last_error", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commitment_requests"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_commitment_requests_due",
        "commitment_requests",
        ["due_at"],
        postgresql_where=pending,
        sqlite_where=pending,
    )
    op.create_table(
        "pulls",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("archive", sa.String(length=64), nullable=False),
        sa.Column("query", _DOCUMENT, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pulls"),
    )
    op.create_table(
        "pulled_studies",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("pull_id", _KEY, nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("state", _words("pullstate", "pending", "done", "failed"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=64), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["pull_id"], ["pulls.id"], name="fk_pulled_studies_pull_id_pulls"),
        sa.PrimaryKeyConstraint("id", name="pk_pulled_studies"),
        sa.UniqueConstraint("pull_id", "study_instance_uid", name="uq_pulled_studies_pull_id_study_instance_uid"),
    )


def downgrade() -> None:
    """What older code cannot read goes: results of newer kinds and of whole studies, with their deliveries."""
    for table in ("pulled_studies", "pulls", "commitment_requests"):
        op.drop_table(table)
    op.drop_column("predictions", "recalled_at")
    op.drop_index("ix_studies_unconcluded", table_name="studies")
    op.drop_column("studies", "concluded_at")
    op.drop_index("ix_deliveries_transaction_uid", table_name="deliveries")
    op.drop_index("ix_deliveries_unconfirmed", table_name="deliveries")
    for column in ("repeats", "transaction_uid", "confirmed_at", "confirm_at"):
        op.drop_column("deliveries", column)
    newer = "kind NOT IN ('secondary_capture', 'report') OR prediction_id IS NULL"
    op.execute(f"DELETE FROM deliveries WHERE result_object_id IN (SELECT id FROM result_objects WHERE {newer})")  # noqa: S608 - ours
    op.execute(f"DELETE FROM result_objects WHERE {newer}")  # noqa: S608 - ours
    op.drop_index("ix_result_objects_study_id", table_name="result_objects")
    with op.batch_alter_table("result_objects") as batch:
        batch.drop_constraint("fk_result_objects_study_id_studies", type_="foreignkey")
        batch.drop_column("study_id")
        batch.alter_column("prediction_id", existing_type=_KEY, nullable=False)
        _check_kinds(batch, _OLD_KINDS)
