"""A remote file that is read piece by piece through the gate."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from processes.fetch.errors import FetchFailed, TooLarge
from processes.fetch.urls import shown

if TYPE_CHECKING:
    from processes.fetch.gate import Gate, Part

BLOCK = 64 * 1024
# Blocks of one file that are kept: 16 MiB.
_KEPT = 256
# No reader has reason to ask for more in one piece; a hostile file can make it ask for anything.
_LONGEST = 256 * 2**20


class RemoteFile(io.RawIOBase):
    """A file at a URL, seekable; each read asks for the blocks that are not there yet, in one request per gap.

    Parameters
    ----------
    gate : Gate
    url : str

    Notes
    -----
    Not to be shared by threads. A server that does not know ranges sends the file once, which is then kept.
    """

    def __init__(self, gate: Gate, url: str) -> None:
        super().__init__()
        self._gate, self._url = gate, url
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._whole: bytes | None = None
        self._at = 0
        self._place = url
        self.size = self._open()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, all that are left for -1."""
        wanted = self.size - self._at if size is None or size < 0 else min(size, self.size - self._at)
        if wanted <= 0:
            return b""
        if wanted > _LONGEST:
            raise TooLarge(f"{shown(self._url)} wants {wanted} bytes to be read in one piece")
        data = self._bytes(self._at, wanted)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """Return all bytes that are left."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _open(self) -> int:
        """Read the first block, which tells the size."""
        part = self._ask(0, BLOCK)
        if part.whole:
            self._whole = part.content
        else:
            self._keep(part)
        return part.size

    def _bytes(self, start: int, length: int) -> bytes:
        if self._whole is not None:
            return self._whole[start : start + length]
        first, last = start // BLOCK, (start + length - 1) // BLOCK
        there = {index: self._blocks[index] for index in range(first, last + 1) if index in self._blocks}
        for begin, end in _gaps(first, last, there):
            there.update(self._load(begin, end))
        data = b"".join(there[index] for index in range(first, last + 1))
        offset = start - first * BLOCK
        return data[offset : offset + length]

    def _load(self, first: int, last: int) -> dict[int, bytes]:
        """Return blocks `first` to `last`, fetched in one request."""
        start = first * BLOCK
        length = min((last + 1) * BLOCK, self.size) - start
        part = self._ask(start, length)
        if part.whole or part.size != self.size or len(part.content) != length:
            raise FetchFailed(f"{shown(self._url)} changed while it was read, or sent less than it has")
        return self._keep(part)

    def _keep(self, part: Part) -> dict[int, bytes]:
        """Keep the blocks of an answer, and let go of those that were not read for longest."""
        first = part.start // BLOCK
        pieces = range(0, len(part.content), BLOCK)
        loaded = {first + i: part.content[at : at + BLOCK] for i, at in enumerate(pieces)}
        self._blocks.update(loaded)
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return loaded

    def _ask(self, start: int, length: int) -> Part:
        """Ask where redirects ended last time; signed places may expire, then the URL itself is asked again."""
        try:
            part = self._gate.fetch_part(self._place, start, length)
        except FetchFailed:
            if self._place == self._url:
                raise
            part = self._gate.fetch_part(self._url, start, length)
        self._place = part.url
        return part


def _gaps(first: int, last: int, there: dict[int, bytes]) -> list[tuple[int, int]]:
    """Return the runs of blocks that are not there, as (first, last)."""
    gaps: list[tuple[int, int]] = []
    for index in range(first, last + 1):
        if index in there:
            continue
        if gaps and gaps[-1][1] == index - 1:
            gaps[-1] = (gaps[-1][0], index)
        else:
            gaps.append((index, index))
    return gaps
