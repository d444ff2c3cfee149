"""The users' database of a server, opened as its settings say."""

from __future__ import annotations

from backend.auth.store import UserStore
from backend.settings import Settings


def open_users(settings: Settings) -> UserStore:
    """Open the users' database of a server."""
    return UserStore(settings.database_url, settings.token_hours, settings.login_attempts, settings.login_minutes)
