"""When a synchronous request has to stop: its time is up, or nobody waits for the answer any more."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from processes.errors import OpenEOError


class Stopper(Protocol):
    """What a computation asks, again and again, whether it has to stop."""

    def check(self) -> None:
        """Raise whatever says why the computation has to stop; return where it may go on."""
        ...


class Deadline:
    """The end of one request.

    Parameters
    ----------
    seconds : float
        How long the request may take from now on.
    hung_up : callable
        Tells whether the client has closed its connection.
    """

    def __init__(self, seconds: float, hung_up: Callable[[], bool] = lambda: False) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._hung_up = hung_up

    def check(self) -> None:
        """Raise `OpenEOError` RequestTimeout when the time is up, RequestCancelled (499) when the client is gone."""
        if time.monotonic() > self._end:
            message = (
                f"The computation took longer than {self.seconds:g} seconds. Choose a smaller extent or fewer dates."
            )
            raise OpenEOError("RequestTimeout", message)
        if self._hung_up():
            raise OpenEOError("RequestCancelled", "The client closed the connection.", 499)


def hang_up_of(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return a function that tells whether the client of a WSGI request is gone; False where the server cannot know."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False

    def hung_up() -> bool:
        try:
            readable, _, _ = select.select([connection], [], [], 0)
            return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    return hung_up
