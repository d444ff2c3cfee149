"""The users of a server, opened as its settings say."""

from __future__ import annotations

from backend.auth.store import UserStore
from backend.settings import Settings
from backend.state import Database


def open_users(settings: Settings, database: Database | None = None) -> UserStore:
    """Return the users in the server's database, which is opened where it is not given."""
    limits = settings.token_hours, settings.login_attempts, settings.login_minutes
    return UserStore(database or Database(settings.database_url), *limits)
