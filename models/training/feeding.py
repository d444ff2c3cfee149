"""Hands batches to the loop: drawn in a thread ahead of time, from any step on, and with the wait measured."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from models.training.batches import WindowBatch, WindowSource

AHEAD = 4  # batches drawn before they are wanted


class Feeder:
    """One epoch's batches at a time, beginning where `position` says that training stands.

    Parameters
    ----------
    source : WindowSource
    epoch : int
        Batches between two validations.
    position : callable
        Returns the number of the next step.

    Attributes
    ----------
    waited : float
        Seconds that the loop has waited for batches.
    """

    def __init__(self, source: WindowSource, epoch: int, position: Callable[[], int]) -> None:
        self._source, self._epoch, self._position = source, epoch, position
        self.waited = 0.0

    def __len__(self) -> int:
        return self._epoch

    def __iter__(self) -> Iterator[WindowBatch]:
        begin = self._position()
        end = (begin // self._epoch + 1) * self._epoch
        with _Ahead(self._source, begin, end) as ahead:
            for _ in range(begin, end):
                since = time.monotonic()
                batch = ahead.next()
                self.waited += time.monotonic() - since
                yield batch

    def state_dict(self) -> dict[str, int]:
        """Tell Lightning that this can go on anywhere; the step that it counts itself says where."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore; see `state_dict`."""


class Given:
    """Batches that are there already. (Of a list Lightning would take each for a loader.)"""

    def __init__(self, batches: Sequence[WindowBatch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[WindowBatch]:
        return iter(self._batches)


class _Ahead:
    """Draws batches in a thread."""

    def __init__(self, source: WindowSource, begin: int, end: int) -> None:
        self._source, self._steps = source, range(begin, end)
        self._ready: queue.Queue[WindowBatch | BaseException] = queue.Queue(AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="training-batches", daemon=True)

    def __enter__(self) -> _Ahead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def next(self) -> WindowBatch:
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _draw(self) -> None:
        try:
            for step in self._steps:
                if not self._put(self._source.batch(step)):
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, item: WindowBatch | BaseException) -> bool:
        while not self._over.is_set():
            try:
                self._ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
