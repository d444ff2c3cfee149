"""What files are read from: the gate, or a user's folder."""

from __future__ import annotations

from collections.abc import Hashable
from typing import IO, Any, Protocol


class Files(Protocol):
    """Gives files by their names: URLs, or paths in a user's folder. Picklable: workers open files again."""

    def open(self, name: str, /) -> IO[bytes] | Any:
        """Open a seekable file to be read, which closes itself at the end of a `with` block."""
        ...

    def content(self, name: str, limit: int, /) -> bytes:
        """Return a whole file; `TooLarge` where it has more than `limit` bytes."""
        ...

    def token(self, name: str, /) -> Hashable:
        """Return what tells a file from all others, of other users too."""
        ...
