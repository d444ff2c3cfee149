"""A user's files as process graphs read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from backend.files.workspace import Workspaces
from processes.errors import OpenEOError


@dataclass(frozen=True)
class FilesOf:
    """The files of one user, to be read; see `processes.environment.UserFiles`."""

    workspaces: Workspaces
    user: str

    def open(self, path: str) -> IO[bytes]:
        """Open a file; the user's folder is the root, so ``/a/b``, ``./a/b`` and ``a/b`` are the same file.

        Raises
        ------
        OpenEOError
            FileNotFound, for whatever leads out of the folder too; FileOperationUnsupported for folders and links.
        """
        bare = path
        while bare.startswith(("/", "./")):
            bare = bare.removeprefix(".").removeprefix("/")
        try:
            return self.workspaces.open(self.user, bare)[0]
        except OpenEOError as error:
            if error.code != "FilePathInvalid":
                raise
            raise OpenEOError("FileNotFound", error.message) from None
