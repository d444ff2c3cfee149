"""Files on disk for the readers of formats: those that a user has uploaded, and those of batch jobs."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from typing import IO

from processes.environment import ResultFiles, UserFiles
from processes.fetch import TooLarge


@dataclass(frozen=True)
class LocalFiles:
    """Files as `processes.fetch.files.Files` wants them."""

    files: UserFiles | ResultFiles

    def open(self, name: str, /) -> IO[bytes]:
        """Open a file."""
        return self.files.open(name)

    def content(self, name: str, limit: int, /) -> bytes:
        """Return a whole file; `TooLarge` where it has more than `limit` bytes."""
        with self.files.open(name) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise TooLarge(f"'{name}' has more than {limit} bytes")
        return content

    def token(self, name: str, /) -> Hashable:
        """Return the file's identity: other users have files of that path too, and it may be written anew."""
        with self.files.open(name) as file:
            status = os.fstat(file.fileno())
        return (name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
