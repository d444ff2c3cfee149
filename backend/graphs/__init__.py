"""Users' own processes: where they are stored, and the graph engine that finds them."""

from backend.graphs.store import GraphStore, SqlGraphStore, StoredProcess

__all__ = ["GraphStore", "SqlGraphStore", "StoredProcess"]
