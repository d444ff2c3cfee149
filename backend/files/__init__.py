"""The files that users upload: a folder for each user, from which no path leads out."""

from backend.files.workspace import StoredFile, Workspaces

__all__ = ["StoredFile", "Workspaces"]
