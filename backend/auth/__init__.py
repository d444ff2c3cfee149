"""Who is asking: users, passwords, tokens. Stores are made by whoever starts the server; nothing lives at import."""

from backend.auth.guard import authenticated, basic_credentials, token_user
from backend.auth.store import DEMO, UserStore

__all__ = ["DEMO", "UserStore", "authenticated", "basic_credentials", "token_user"]
