"""The server's own scheduler and workers as supervised processes, without a web server and runners."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from backend.settings import read_settings
from backend.supervise.child import Child
from backend.supervise.orders import Orders
from backend.supervise.supervisor import OUR_LOGGING, SINGLE_THREADED
from backend.sync.cluster import DaskCluster
from tests.backend.server import until

# Spare workers rest for less long, so that tests need not wait.
RESTLESS = """
import runpy
from backend.supervise import pool
pool.IDLE_SECONDS = 4.0
runpy.run_module("backend.supervise", run_name="__main__", alter_sys=True)
"""


@dataclass
class Parts:
    """A scheduler and its workers, and a cluster that computes on them."""

    address: str
    scheduler: Child
    workers: Child
    cluster: DaskCluster

    def processes(self) -> list[psutil.Process]:
        """Return the worker processes, in the order of their start."""
        assert self.workers.pid is not None
        # Nannies start workers through multiprocessing; its resource tracker is no worker.
        found = []
        for process in psutil.Process(self.workers.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())


class _Restless(Child):
    """The workers' process, but that it soon retires spare ones."""

    def start(self) -> None:
        def popen(command: list[str], **options: Any) -> subprocess.Popen[str]:
            assert command[1:] == ["-m", "backend.supervise", "workers"]
            return start([command[0], "-c", RESTLESS, "workers"], **options)

        start = subprocess.Popen
        with mock.patch("backend.supervise.child.subprocess.Popen", popen):
            super().start()


@contextlib.contextmanager
def computing(folder: Path, count: int, **settings: Any) -> Iterator[Parts]:
    """Run a scheduler and `count` workers for the length of the block."""
    made = read_settings({}, data=folder, workers=count, **settings)
    made.run_folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environ = {**os.environ, **SINGLE_THREADED, **OUR_LOGGING}
    orders = Orders(made, address)
    scheduler, workers = Child("scheduler", orders, environ), _Restless("workers", orders, environ)
    cluster = DaskCluster(address)
    try:
        scheduler.start()
        workers.start()
        until(lambda: cluster.workers() == count, 60)
        yield Parts(address, scheduler, workers, cluster)
    finally:
        cluster.close()
        workers.stop(5)
        scheduler.stop(5)
