"""Users, tokens and login attempts. The first servers made these tables without migrations: then they stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables that are not there."""
    present = set(sa.inspect(op.get_bind()).get_table_names())
    if "users" not in present:
        op.create_table(
            "users",
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("password_hash", sa.String(256), nullable=False),
            sa.Column("created", sa.Float, nullable=False),
        )
    if "tokens" not in present:
        op.create_table(
            "tokens",
            sa.Column("digest", sa.String(64), primary_key=True),
            sa.Column("user", sa.String(64), nullable=False),
            sa.Column("expires", sa.Float, nullable=False),
        )
        op.create_index("ix_tokens_user", "tokens", ["user"])
    if "login_attempts" not in present:
        op.create_table(
            "login_attempts",
            sa.Column("key", sa.String(64), primary_key=True),
            sa.Column("count", sa.Integer, nullable=False),
            sa.Column("since", sa.Float, nullable=False),
        )
