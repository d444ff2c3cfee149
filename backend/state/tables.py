"""All tables of the database. Times are seconds since 1970, UTC. A change here needs a migration: a test holds them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()
# SQLite counts in this type alone.
COUNTER = BigInteger().with_variant(Integer, "sqlite")

USERS = Table(
    "users",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(256), nullable=False),
    Column("created", Float, nullable=False),
)
TOKENS = Table(
    "tokens",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("user", String(64), nullable=False, index=True),
    Column("expires", Float, nullable=False),
)
ATTEMPTS = Table(
    "login_attempts",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("since", Float, nullable=False),
)
PROCESSES = Table(
    "stored_processes",
    METADATA,
    Column("user", String(64), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("process", JSON, nullable=False),
    Column("updated", Double, nullable=False),
)
JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("user", String(64), nullable=False, index=True),
    Column("title", Text),
    Column("description", Text),
    Column("process", JSON, nullable=False),
    Column("log_level", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    # Counted up by every change, so that nobody overwrites a change that he has not seen.
    Column("version", Integer, nullable=False),
    # What `backend.jobs.states` decides.
    Column("status", String(16), nullable=False),
    Column("run", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued", Double),
    Column("started", Double),
    Column("ended", Double),
    Column("claimed", Double),
    Column("runner", String(128)),
    Column("lease_until", Double),
    Column("heartbeat", Double),
    Column("progress", Double, nullable=False),
    Column("has_results", Boolean, nullable=False),
    # What a run has used and produced.
    Column("usage", JSON(none_as_null=True)),
    Column("results", JSON(none_as_null=True)),
    Column("result_bytes", BigInteger, nullable=False),
    Index("ix_jobs_status_queued", "status", "queued"),
    Index("ix_jobs_user_created", "user", "created", "id"),
)
SPEEDS = Table(
    "speeds",
    METADATA,
    Column("cluster", String(128), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("runs", Integer, nullable=False),
    Column("amount", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("total_amount", Double, nullable=False),
    Column("total_seconds", Double, nullable=False),
)
JOB_LOGS = Table(
    "job_logs",
    METADATA,
    Column("id", COUNTER, primary_key=True, autoincrement=True),
    Column("job", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("time", Double, nullable=False),
    Column("level", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("code", String(64)),
    # Data, path, links and usage of the entry, where it has them.
    Column("more", JSON, nullable=False),
    Index("ix_job_logs_job_id", "job", "id"),
    # Numbers are never used twice: clients ask for what came after the last one that they saw.
    sqlite_autoincrement=True,
)
