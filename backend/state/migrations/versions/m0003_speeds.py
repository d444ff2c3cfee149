"""How fast clusters are; lists of jobs in their order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "speeds",
        sa.Column("cluster", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("total_amount", sa.Double, nullable=False),
        sa.Column("total_seconds", sa.Double, nullable=False),
    )
    op.create_index("ix_jobs_user_created", "jobs", ["user", "created", "id"])
