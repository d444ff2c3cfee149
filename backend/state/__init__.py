"""The server's database: its tables, its migrations, and the engine on it. Knows nothing of what the rows mean."""

from backend.state.database import Database
from backend.state.outage import is_outage, outage_error

__all__ = ["Database", "is_outage", "outage_error"]
