"""Run by alembic for each command: on the connection that `backend.state.upgrade` made."""

from __future__ import annotations

from alembic import context

from backend.state.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
