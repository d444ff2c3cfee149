"""Stored processes, batch jobs and their logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "stored_processes",
        sa.Column("user", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("process", sa.JSON, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("process", sa.JSON, nullable=False),
        sa.Column("log_level", sa.String(16), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("queued", sa.Double),
        sa.Column("started", sa.Double),
        sa.Column("ended", sa.Double),
        sa.Column("claimed", sa.Double),
        sa.Column("runner", sa.String(128)),
        sa.Column("lease_until", sa.Double),
        sa.Column("heartbeat", sa.Double),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("has_results", sa.Boolean, nullable=False),
        sa.Column("usage", sa.JSON),
        sa.Column("results", sa.JSON),
        sa.Column("result_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_jobs_user", "jobs", ["user"])
    op.create_index("ix_jobs_status_queued", "jobs", ["status", "queued"])
    counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "job_logs",
        sa.Column("id", counter, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("more", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_logs_job_id", "job_logs", ["job", "id"])
