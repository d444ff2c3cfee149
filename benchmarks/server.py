"""A real server for benchmarks: a process of its own, on a small simulated archive in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

USERS = 10
PASSWORD = "correct horse"
START_SECONDS = 120.0


@contextlib.contextmanager
def serving(folder: Path, jobs: int) -> Iterator[tuple[int, list[str], psutil.Process]]:
    """Run a server; yield its port, a token for each user, and its process."""
    import requests

    names = [f"user{i}" for i in range(USERS)]
    _fill(folder, names)
    variables = {"OPENEO_EMBED_RUNNERS": str(jobs)}
    line = [sys.executable, "-m", "backend.cli", "serve", "--data", str(folder), "--port", "0"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **variables})
    try:
        url = _url(process, folder / "server.log")
        login = f"{url}credentials/basic"
        tokens = [requests.get(login, auth=(name, PASSWORD), timeout=30).json()["access_token"] for name in names]
        yield int(url.rstrip("/").rsplit(":", 1)[1]), tokens, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        told = (folder / "server.log").read_text().splitlines()
        print("\n".join(line for line in told if "WARNING" in line or "ERROR" in line), file=sys.stderr)


def _fill(folder: Path, names: list[str]) -> None:
    from backend.auth import UserStore
    from backend.state import Database
    from processes.simulation import SceneSpec, write_archive
    from processes.sources import FileCatalog

    days = {"start": np.datetime64("2022-05-01"), "stop": np.datetime64("2022-09-01")}
    write_archive(folder / "archive", SceneSpec(height=64, width=64, **days))
    FileCatalog(folder / "catalog.json").add(folder / "archive")
    with contextlib.closing(UserStore(Database(f"sqlite:///{folder / 'users.sqlite'}"))) as users:
        for name in names:
            users.add(name, PASSWORD)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"openEO API at (http://\S+)", log.read_text())
        if found:
            return found[1]
        time.sleep(0.2)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")
