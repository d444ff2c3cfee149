"""The supervisor: starts the children in order, starts again what ends, and stops all of them in order."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping

from backend.settings import Settings
from backend.supervise.cache import cache_variables
from backend.supervise.child import Child
from backend.supervise.orders import Orders
from processes.errors import OpenEOError

logger = logging.getLogger("backend.supervise")

TICK = 0.1
# A server that is not ready after so long says why.
TELL_SECONDS = 20.0
# So many ends of one part before the server was ever ready are the end of the server.
GIVE_UP = 3
# Seconds that each child has to end by itself, in the order in which they are stopped: those of one row together.
PATIENCE = ({"web": 4.0, "runner": 4.0}, {"workers": 4.0}, {"scheduler": 2.0})
# Dask configures logging when it is imported; this configuration changes nothing, and leaves it to us.
OUR_LOGGING = {"DASK_LOGGING": "{'version': 1, 'incremental': True}"}
# One thread per process inside libraries: Dask runs as many processes and threads as there are cores already.
SINGLE_THREADED = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Supervisor:
    """Runs one server.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    listener : socket
        The listening web socket.
    environ : mapping
        Environment variables of the children.
    """

    def __init__(self, settings: Settings, listener: socket.socket, environ: Mapping[str, str]) -> None:
        self._address = listener.getsockname()[:2]
        scheduler = settings.scheduler or f"tcp://127.0.0.1:{_free_port()}"
        orders = Orders(settings, scheduler)
        variables = {**environ, **SINGLE_THREADED, **OUR_LOGGING, **cache_variables(environ, settings.data)}
        web = Child("web", Orders(settings, scheduler, listener.fileno()), variables)
        dask = [Child(role, orders, variables) for role in ("scheduler", "workers")] if not settings.scheduler else []
        runners = [Child("runner", orders, variables) for _ in range(settings.runners)]
        self._children = [*dask, *runners, web]
        self._stopping = False
        self._ready = False
        self._started = time.monotonic()
        self._told = b""

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run until SIGTERM, SIGINT or SIGHUP (the terminal is gone).

        `on_ready` is called once, when the server answers and can compute.

        Raises
        ------
        OpenEOError
            StartFailed: a part of the server ends again and again before the server was ever ready.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, self._stop_soon)
        try:
            for child in self._children:
                child.start()
            while not self._stopping:
                self._mend()
                if not self._ready and self._answers():
                    self._ready = True
                    on_ready()
                time.sleep(TICK)
        finally:
            self._stop()

    def _stop_soon(self, *_: object) -> None:
        self._stopping = True

    def _mend(self) -> None:
        for child in self._children:
            status = child.ended()
            if status is not None:
                self._give_up(child)
                wait = child.start_at - time.monotonic()
                logger.warning("%s ended (%s); starting it again in %.1f s", child.role, _cause(status), wait)
                self._end_with(child)
            if child.pid is None and time.monotonic() >= child.start_at:
                child.start()

    def _end_with(self, child: Child) -> None:
        """End what is lost with a child: workers whose scheduler is gone would first finish what nobody fetches."""
        for other in self._children if child.role == "scheduler" else ():
            if other.role == "workers":
                other.end_soon()

    def _give_up(self, child: Child) -> None:
        """End a server of which a part has never come up: what is wrong does not mend itself."""
        if not self._ready and child.failures >= GIVE_UP:
            raise OpenEOError("StartFailed", f"The part {child.role} ended {GIVE_UP} times at start; the log says why.")

    def _answers(self) -> bool:
        """Whether `/ready` says that the server can compute."""
        host, port = self._address
        connection = http.client.HTTPConnection(_reachable(host), port, timeout=1)
        try:
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            if answer.status != 200:
                self._tell_missing(answer.read())
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _tell_missing(self, answer: bytes) -> None:
        """Log what a server that does not become ready waits for: once, and again when it is something else."""
        if time.monotonic() < self._started + TELL_SECONDS or answer == self._told:
            return
        self._told = answer
        with contextlib.suppress(ValueError, KeyError, TypeError):  # another server's answer
            logger.warning("the server cannot compute yet: %s", "; ".join(json.loads(answer)["missing"]))

    def _stop(self) -> None:
        logger.info("stopping")
        for row in PATIENCE:
            together = [child for child in self._children if child.role in row]
            for child in together:
                child.end_soon()
            for child in together:
                child.await_end(row[child.role])
        logger.info("stopped")


def listen(host: str, port: int) -> socket.socket:
    """Open the web socket; OpenEOError AddressUnavailable says what is in the way and what to do."""
    try:
        info = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(info[0], info[1])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(info[4])
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        message = f"Cannot listen on {host}:{port}: {reason}. Choose another --port or --host."
        raise OpenEOError("AddressUnavailable", message) from None
    listener.listen(128)
    listener.set_inheritable(True)
    return listener


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _cause(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
