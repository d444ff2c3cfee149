"""What the web processes count: requests by route, method and status, and how long they took. No user, no id.

Each process counts for itself; where `share` was called before the library was first imported, in files of one folder,
from which whichever process is asked adds them up.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from pathlib import Path

from flask import Flask, Response, g, request

logger = logging.getLogger("backend.metrics")

# The library's own name, which it reads when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# The files that it keeps for each process, and the size that it gives them: more than all routes will ever need.
KINDS, RESERVED = ("counter", "histogram"), 1 << 20
# They begin with how many bytes are used.
USED = struct.Struct("i")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)
# Requests that fit no route are counted together: anyone can make up paths without end.
NOWHERE = "(none)"


def share(folder: Path) -> None:
    """Have this process, and those that it forks, count in files of a folder; call it before anything is imported."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ[FOLDER] = str(folder)


def shrink(folder: Path) -> None:
    """Cut the files of processes that are gone to what is in them.

    They go on being counted, but a process that dies again and again must not fill the disk with room that it reserved.
    """
    import psutil

    for path in folder.glob("*_*.db"):
        process = path.stem.rpartition("_")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            with path.open("r+b") as file:
                used = file.read(USED.size)
                if len(used) == USED.size:
                    file.truncate(max(USED.unpack(used)[0], USED.size))


def reserve(folder: Path) -> bool:
    """Reserve the room of this process's files; False where there is none.

    The library maps files with holes into memory: where a hole cannot be filled because the disk is full, the system
    kills the process (SIGBUS). It takes files as it finds them.
    """
    try:
        shrink(folder)
        for kind in KINDS:
            with (folder / f"{kind}_{os.getpid()}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVED)
    except OSError:
        return False
    return True


class RequestMeters:
    """Counts the requests of one application."""

    def __init__(self) -> None:
        if FOLDER in os.environ and not reserve(Path(os.environ[FOLDER])):
            logger.warning("there is no room to count requests together; each web process counts alone")
            del os.environ[FOLDER]
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self._count = Counter(
            "openeo_embed_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "openeo_embed_request_seconds",
            "Time from a request's arrival to the begin of its answer.",
            ["route"],
            registry=self.registry,
            buckets=BUCKETS,
        )

    def install(self, app: Flask) -> None:
        """Count all requests of an application."""
        app.after_request(self._after)

    def shared(self) -> object:
        """Return the registry that tells of all processes that count together."""
        if FOLDER not in os.environ:
            return self.registry
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _after(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else NOWHERE
        known = request.url_rule is not None or request.method in ("GET", "OPTIONS")
        self._count.labels(request.method if known else NOWHERE, route, str(response.status_code)).inc()
        if "started" in g:
            self._seconds.labels(route).observe(time.monotonic() - g.started)
        return response
