"""The files that users upload: a folder for each user, from which no path leads out."""

from backend.files.reading import FilesOf
from backend.files.workspace import StoredFile, Workspaces

__all__ = ["FilesOf", "StoredFile", "Workspaces"]
