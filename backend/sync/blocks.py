"""Lazy values computed and fetched block by block: no worker ever holds more of a result than its own blocks.

Dask's own way puts each result together on one worker first, whose memory then grows with the result. A `Stream` bounds
what waits on the workers, and keeps large results in a file, so that nobody's memory grows.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import dask.array as da
from dask.utils import ensure_dict

from backend.sync.spool import Spool
from backend.sync.takers import Taker, taken_apart
from backend.sync.window import Window

POLL_SECONDS = 0.25
# Blocks travel in batches of about so many bytes, or of so many blocks.
BATCH_BYTES = 64 * 2**20
BATCH_BLOCKS = 256
# A worker that stands still answers never: after so long it is asked again, or whoever has the block by then.
FETCH_SECONDS = 30.0


class TaskFailed(Exception):
    """A task raised `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Interrupted(Exception):
    """The scheduler has dropped the tasks, or was lost with them."""


@dataclass(frozen=True)
class Stream:
    """How a large computation is bounded.

    Parameters
    ----------
    threads : callable
        Returns how many tasks the cluster runs at once: a few blocks for each are asked for at a time.
    announce : callable
        Called once, with the keys of all tasks, before the scheduler is sent any.
    spool : Spool, optional
        Where blocks of large arrays are kept; such an array comes back lazy, and is read from there. Without it, all
        arrays are put together in memory.
    """

    threads: Callable[[], int]
    announce: Callable[[list[Any]], None]
    spool: Spool | None = None


class _Sender(Protocol):
    """Sends the graph to the scheduler; `futures` are those of all blocks that were asked for and not received."""

    futures: dict[Any, Any]

    def send(self) -> dict[Any, Any]: ...
    def let_go(self, key: Any) -> None: ...
    def close(self) -> None: ...


def collect(
    client: Any,
    collections: Sequence[Any],
    announce: Callable[[list[Any]], None],
    check: Callable[[], None],
    stream: Stream | None = None,
) -> list[Any]:
    """Compute Dask collections as one graph.

    Parameters
    ----------
    client : distributed.Client
    collections : sequence of Dask collections
    announce : callable
        Called once, with the keys of all blocks, before the scheduler is sent the graph; not for a `stream`.
    check : callable
        Called a few times a second; whatever it raises ends the computation.
    stream : Stream, optional
        Without it, the graph is sent as a whole, and all values are put together in memory.

    Raises
    ------
    TaskFailed, Interrupted
    """
    values = [taken_apart(collection, stream.spool if stream is not None else None) for collection in collections]
    takers = [taker for value in values for taker in value.takers]
    sender: _Sender = _AtOnce(client, takers, announce) if stream is None else _windowed(client, takers, stream)
    try:
        _receive(client, sender, takers, check)
    finally:  # no `cancel`: an equal request may wait for the same blocks
        sender.close()
    return [value.rebuilt() for value in values]


class _AtOnce:
    """Sends the graph as a whole."""

    def __init__(self, client: Any, takers: Sequence[Taker], announce: Callable[[list[Any]], None]) -> None:
        self._client, self._takers, self._announce = client, takers, announce
        self._sent = False
        self.futures: dict[Any, Any] = {}

    def send(self) -> dict[Any, Any]:
        """Send all of it, once; returns the future of each block by its key."""
        if self._sent:
            return {}
        self._sent = True
        keys = [key for taker in self._takers for key in taker.wanted()]
        self._announce(keys)
        wanted = set(keys)
        for persisted in self._client.persist([taker.lazy for taker in self._takers]):
            graph = ensure_dict(persisted.__dask_graph__())
            self.futures.update({key: graph[key] for key in wanted & graph.keys()})
        return dict(self.futures)

    def let_go(self, key: Any) -> None:
        """Forget a block that was received."""
        self.futures.pop(key).release()

    def close(self) -> None:
        """Let go of everything."""
        for future in self.futures.values():
            future.release()


def _windowed(client: Any, takers: Sequence[Taker], stream: Stream) -> Window:
    wanted = [key for taker in takers for key in taker.wanted()]
    size = sum(_mean_bytes(taker.lazy) * len(taker.wanted()) for taker in takers) // max(len(wanted), 1)
    return Window(client, [taker.lazy for taker in takers], wanted, size, stream.threads, stream.announce)


def _receive(client: Any, sender: _Sender, takers: Sequence[Taker], check: Callable[[], None]) -> None:
    """Fetch each block when it is there, give it to whoever wants it, and let go of it."""
    wanting: dict[Any, list[Taker]] = {}
    for taker in takers:
        for key in taker.wanted():
            wanting.setdefault(key, []).append(taker)
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    while wanting:
        check()
        for future in sender.send().values():
            future.add_done_callback(lambda future: done.put(future.key))
        for keys in _batches(_ready(done), wanting):
            futures = [sender.futures[key] for key in keys]
            for key, block in zip(keys, _fetched(client, futures, check), strict=True):
                for taker in wanting.pop(key):
                    taker.take(key, block)
                sender.let_go(key)


def _ready(done: queue.SimpleQueue[Any]) -> list[Any]:
    """Return the keys of blocks that are done, after a moment's waiting for the first."""
    keys = []
    with contextlib.suppress(queue.Empty):
        keys.append(done.get(timeout=POLL_SECONDS))
        while True:
            keys.append(done.get_nowait())
    return keys


def _batches(keys: Iterable[Any], wanting: Mapping[Any, Sequence[Taker]]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for key in keys:
        batch.append(key)
        size += _mean_bytes(wanting[key][0].lazy)
        if size >= BATCH_BYTES or len(batch) >= BATCH_BLOCKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _mean_bytes(lazy: Any) -> int:
    if not isinstance(lazy, da.Array) or math.isnan(lazy.nbytes):
        return BATCH_BYTES // BATCH_BLOCKS
    return int(lazy.nbytes // max(lazy.npartitions, 1))


def _fetched(client: Any, futures: list[Any], check: Callable[[], None]) -> list[Any]:
    """Return the blocks of futures that are done; where a worker does not answer, ask again."""
    while True:
        try:
            blocks: list[Any] = client.sync(
                partial(client.gather, asynchronous=True), futures, callback_timeout=FETCH_SECONDS
            )
            return blocks
        except Exception as error:
            _raise_failure(futures, error)
            if not isinstance(error, OSError):  # which TimeoutError is, too
                raise TaskFailed(error) from error
        check()
        time.sleep(POLL_SECONDS)


def _raise_failure(futures: Iterable[Any], error: Exception) -> None:
    """Raise what the first future that failed says; nothing where none has."""
    for future in futures:
        if future.status == "error":
            raise TaskFailed(future.exception() or error) from error
        if future.status in ("cancelled", "lost"):
            raise Interrupted from error
