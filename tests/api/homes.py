"""Data folders of their own with the catalogue of all tests, and servers on them that are killed and started again."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from tests.backend.server import Server, run_inside, serving

LEASE = 2
SETTINGS = {"OPENEO_EMBED_JOB_LEASE": str(LEASE), "OPENEO_EMBED_DISK_BYTES": "0", "OPENEO_EMBED_UDF": "off"}


def data_folder(data: Path, parent: Path) -> Path:
    """Make a data folder with the catalogue of the others."""
    added = run_inside("catalog", "add", data / "archive", "--data", parent / "data")
    assert added.returncode == 0, added.stderr
    return parent / "data"


class Home:
    """A data folder and the server on it, one after the other: a short lease, no room kept free, no code of users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = contextlib.ExitStack()
        self.server = self.start()

    def start(self, runners: int = 1) -> Server:
        """Start a server; whatever is left of the one before is ended."""
        self._running.close()
        settings = {**SETTINGS, "OPENEO_EMBED_RUNNERS": str(runners)}
        self.server = self._running.enter_context(serving(self.folder, "--demo-user", **settings))
        return self.server

    def with_runners(self, count: int) -> Server:
        """Return the server if it has that many runners, else one that has."""
        children = psutil.Process(self.server.process.pid).children()
        runners = [child for child in children if child.cmdline()[-1:] == ["runner"]]
        return self.server if len(runners) == count else self.start(count)

    def close(self) -> None:
        """End the server."""
        self._running.close()
