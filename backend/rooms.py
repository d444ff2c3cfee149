"""A room: some requests work in it at once, a few more wait at its door, all others are sent away.

So whatever takes processor time never takes all threads of a web process: those that only read go on being answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import BoundedSemaphore

from processes.errors import OpenEOError


class Room:
    """Room for `places` requests that work and as many that wait.

    Parameters
    ----------
    places : int
        How many work at once.
    what : str
        What they do, as the message to those who are sent away tells it.
    """

    def __init__(self, places: int, what: str) -> None:
        self._what = what
        self._places = BoundedSemaphore(places)
        self._inside = BoundedSemaphore(2 * places)

    @contextlib.contextmanager
    def entered(self, patience: float) -> Iterator[None]:
        """Work in the room for the length of the block.

        Parameters
        ----------
        patience : float
            Seconds to wait for a place.

        Raises
        ------
        OpenEOError
            InfrastructureBusy: too many wait already, or no place became free in time.
        """
        if not self._inside.acquire(blocking=False):
            raise self._full()
        try:
            if not self._places.acquire(timeout=patience):
                raise self._full()
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._inside.release()

    def _full(self) -> OpenEOError:
        message = f"The server {self._what} as many process graphs as it can; try again in a minute."
        return OpenEOError("InfrastructureBusy", message)
