"""models side by side

Revision: 0002, after 0001

A column with a constant default and its CHECK in one statement: no row is written anew on either database. PostgreSQL
reads the predictions once for the CHECK (0.2 s for 500,000). SQLite would otherwise copy the table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATES = "CONSTRAINT ck_model_versions_modelstate CHECK (state IN ('active', 'shadow', 'idle'))"
_ROLES = "CONSTRAINT ck_predictions_role CHECK (role IN ('active', 'shadow'))"


def upgrade() -> None:
    op.execute(f"ALTER TABLE model_versions ADD COLUMN state VARCHAR(32) DEFAULT 'idle' NOT NULL {_STATES}")
    op.add_column("model_versions", sa.Column("state_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("model_versions", sa.Column("folder", sa.String(length=160), nullable=True))
    op.create_index(
        "uq_model_versions_active",
        "model_versions",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
        sqlite_where=sa.text("state = 'active'"),
    )
    op.execute(f"ALTER TABLE predictions ADD COLUMN role VARCHAR(32) DEFAULT 'active' NOT NULL {_ROLES}")


def downgrade() -> None:
    """Without the column, what models in shadow predicted would stand as if it had been reported: it goes."""
    op.execute("DELETE FROM warnings WHERE prediction_id IN (SELECT id FROM predictions WHERE role = 'shadow')")
    op.execute("DELETE FROM predictions WHERE role = 'shadow'")
    with op.batch_alter_table("predictions") as batch:
        batch.drop_constraint(op.f("ck_predictions_role"), type_="check")  # a copied table has it apart from the column
        batch.drop_column("role")
    op.drop_index("uq_model_versions_active", table_name="model_versions")
    for column in ("folder", "state_since", "state"):
        op.drop_column("model_versions", column)
