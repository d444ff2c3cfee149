"""The server's database: its tables, its migrations, and the engine on it. Knows nothing of what the rows mean."""

from backend.state.database import Database

__all__ = ["Database"]
