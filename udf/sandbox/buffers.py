"""The caller's side of the shared memory: files in memory, mapped once and used again by the calls that follow.

New pages cost several times the copying into them, so the pages are kept. No call sees another's values: of the input
a guest gets exactly its own bytes, and may only read; into the output it may only write, neither read nor map it, and
what the caller has taken is overwritten with zeros. Of a call that failed nothing is kept.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from udf.sandbox import arrays as shared
from udf.sandbox.limits import MIB

KEPT = 288 * MIB  # bytes of a buffer that is kept for the next call: twice what a Dask block has by default
_ADD_SEALS, _SEAL, _SHRINK, _GROW = 1033, 1, 2, 4


class Input:
    """A request and its arrays; `for_guest` is the open file to hand over, `size` its length in bytes."""

    def __init__(self) -> None:
        self._file = os.memfd_create("udf-input", os.MFD_CLOEXEC)
        self.for_guest = _opened_again(self._file, os.O_RDONLY)
        self._memory: mmap.mmap | None = None
        self.size = 0

    def fill(self, request: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
        """Lay down a request; raises `Unfit` for arrays that cannot travel."""
        ready = [shared.plain(array) for array in arrays]
        places, length = shared.lay_out(ready)
        head = json.dumps({"request": request, "arrays": places}).encode()
        head = len(head).to_bytes(shared.HEAD_ROOM, "little") + head
        start = shared.page_after(len(head))
        memory = self._sized(start + length)
        done = _put(memory, 0, np.frombuffer(head, np.uint8), 0)
        for array, place in zip(ready, places, strict=True):
            done = _put(memory, start + place["offset"], shared.raw(array), done)
        memory[done : self.size] = bytes(self.size - done)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory = None
        os.close(self._file)
        os.close(self.for_guest)

    def _sized(self, size: int) -> mmap.mmap:
        """The memory, mapped at least to `size`, the file cut to it: pages beyond held other calls' values."""
        os.ftruncate(self._file, size)
        self.size = size
        if self._memory is None or len(self._memory) < size:
            self._memory = mmap.mmap(self._file, size)
        return self._memory


class Output:
    """The arrays of an answer; `for_guest` is the open file to hand over.

    The file cannot be shrunk: else a guest could take mapped pages away under its caller, which kills the caller.
    """

    def __init__(self, largest: int):
        size = max(largest, mmap.PAGESIZE)
        self._largest = largest
        self._file = os.memfd_create("udf-output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._file, size)
        fcntl.fcntl(self._file, _ADD_SEALS, _SEAL | _SHRINK | _GROW)
        self.for_guest = _opened_again(self._file, os.O_WRONLY)
        self._memory: mmap.mmap | None = mmap.mmap(self._file, size)

    def take(self, listed: Any) -> list[np.ndarray]:
        """Copies of the arrays that a guest, which has ended, has left and lists; raises `Unfit`."""
        assert self._memory is not None
        places = shared.places_of(listed, self._largest)
        if sum(end - place["offset"] for place, end in places if end) > self._largest:
            raise shared.Unfit("it lists more than it may return")
        taken = [shared.sound(np.array(shared.view(self._memory, place))) for place, _ in places]
        for place, end in places:
            if end:
                np.frombuffer(self._memory, np.uint8)[place["offset"] : end] = 0
        return taken

    @property
    def held(self) -> int:
        """Bytes of memory that it takes."""
        return os.fstat(self._file).st_blocks * 512

    def close(self) -> None:
        """Let go of the memory."""
        self._memory = None
        os.close(self._file)
        os.close(self.for_guest)


class Buffers:
    """The buffers of one sandbox; each is lent to one call at a time."""

    def __init__(self) -> None:
        self._free: list[tuple[Input, Output]] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self, largest_output: int) -> Iterator[tuple[Input, Output]]:
        """Buffers for one call."""
        with self._lock:
            pair = self._free.pop() if self._free else None
        given, taken = pair or (Input(), Output(largest_output))
        keep = False
        try:
            yield given, taken
            keep = given.size <= KEPT and taken.held <= KEPT
        finally:
            with self._lock:
                keep = keep and not self._free
                if keep:
                    self._free.append((given, taken))
            if not keep:
                given.close()
                taken.close()

    def close(self) -> None:
        """Let go of the buffers that nobody has borrowed."""
        with self._lock:
            free, self._free = self._free, []
        for given, taken in free:
            given.close()
            taken.close()


def _put(memory: mmap.mmap, offset: int, content: np.ndarray, done: int) -> int:
    """Copy bytes to a place and zeros before it, from where the last ones ended."""
    target = np.frombuffer(memory, np.uint8)
    target[done:offset] = 0
    target[offset : offset + len(content)] = content
    return offset + len(content)


def _opened_again(file: int, flags: int) -> int:
    """The same file, opened with less: its user can neither widen that nor find its way back."""
    return os.open(f"/proc/self/fd/{file}", flags | os.O_CLOEXEC)
