"""One supervised process, with all that it starts: it leads a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from backend.supervise.backoff import Backoff
from backend.supervise.orders import Orders


class Child:
    """A process that runs `python -m backend.supervise ROLE`.

    Parameters
    ----------
    role : str
        scheduler, workers, runner or web.
    orders : Orders
        What the process is told.
    environ : mapping
        Its environment variables.
    """

    def __init__(self, role: str, orders: Orders, environ: Mapping[str, str]) -> None:
        self.role = role
        self._orders = orders
        self._environ = dict(environ)
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        self._backoff = Backoff()
        self.start_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None else None

    @property
    def failures(self) -> int:
        """How often in a row the process has ended soon after its start."""
        return self._backoff.failures

    def start(self) -> None:
        """Start the process and give it its orders."""
        listener = (self._orders.listener,) if self._orders.listener >= 0 else ()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.supervise", self.role],
            stdin=subprocess.PIPE,
            env=self._environ,
            pass_fds=listener,
            start_new_session=True,
            text=True,
        )
        self._started = time.monotonic()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; `ended` will tell
            self._process.stdin.write(self._orders.to_json() + "\n")
            self._process.stdin.flush()

    def ended(self) -> int | None:
        """Return, once, the exit status of a process that ended by itself; `start_at` says when to start it again."""
        status = self._process.poll() if self._process is not None else None
        if status is None:
            return None
        self._sweep()
        # One that ended in good order has not failed: a runner, say, that makes way for a fresh one.
        before = self._backoff if status else Backoff()
        self._backoff, delay = before.after_end(time.monotonic() - self._started)
        self.start_at = time.monotonic() + delay
        return status

    def end_soon(self) -> None:
        """Ask the process to end; `ended` tells when it has, and `start` starts it again."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def stop(self, patience: float) -> None:
        """Stop the process: politely, and after `patience` seconds with force, with all that it started."""
        self.end_soon()
        self.await_end(patience)

    def await_end(self, patience: float) -> None:
        """Wait for a process that was asked to end, and end with force what is left after `patience` seconds."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._sweep()

    def _sweep(self) -> None:
        """End whatever is left of the process group, and let go of the process."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process = None
