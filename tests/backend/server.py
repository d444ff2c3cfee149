"""A real server, `openeo-embed serve`, as a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
import requests

from backend.cli import run

START_SECONDS = 90.0
URL = re.compile(r"openEO API at (http://\S+)")


@dataclass
class Server:
    """A running server: its process, URL and log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def family(self) -> list[psutil.Process]:
        """Return all processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, role: str) -> psutil.Process:
        """Return the supervised process of that role."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it may die just now
                if child.cmdline()[-1:] == [role]:
                    return child
        raise LookupError(role)

    def healthy(self) -> bool:
        """Whether the server says that it can compute."""
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.url + "ready", timeout=5).status_code == 200
        return False

    def alive(self, role: str, but: int) -> bool:
        """Whether the child of that role runs under another process id than `but`."""
        with contextlib.suppress(LookupError):
            return self.child(role).pid != but
        return False


def command(*arguments: Any) -> list[str]:
    """Return the command line of `openeo-embed`."""
    return [sys.executable, "-m", "backend.cli", *map(str, arguments)]


def clean_environment() -> dict[str, str]:
    """Return the environment without this project's own variables."""
    return {key: value for key, value in os.environ.items() if not key.startswith("OPENEO_EMBED_")}


def run_command(
    *arguments: Any, stdin: str = "", timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `openeo-embed` to its end, with further environment variables."""
    environ = {**clean_environment(), **variables}
    line = command(*arguments)
    return subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=timeout, env=environ)


def run_inside(*arguments: Any, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `openeo-embed` as `run_command` does, but in this process: without the seconds that imports take."""
    words, given = list(map(str, arguments)), io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with (
        mock.patch.dict(os.environ, {**clean_environment(), **variables}, clear=True),
        mock.patch.object(sys, "stdin", given),
        contextlib.redirect_stdout(io.StringIO()) as told,
        contextlib.redirect_stderr(io.StringIO()) as faults,
    ):
        status = run(words)
    return subprocess.CompletedProcess(words, status, told.getvalue(), faults.getvalue())


@contextlib.contextmanager
def serving(data: Path, *arguments: Any, **variables: str) -> Iterator[Server]:
    """Run a server on a free port for the length of the block; whatever is left of it afterwards is killed."""
    log = data.parent / f"{data.name}.log"
    with log.open("wb") as output:
        line = command("serve", "--data", data, "--port", 0, "--workers", 1, *arguments)
        environ = {**clean_environment(), **variables}
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=environ)
    server = Server(process, "", log)
    family: list[psutil.Process] = []
    try:
        server.url = until(lambda: _url(server), START_SECONDS)
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = server.family()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()
        for left in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    return pytest.fail("what was waited for did not come")


def _url(server: Server) -> str | None:
    text = server.log.read_text()
    if server.process.poll() is not None:
        pytest.fail(f"the server ended with {server.process.returncode}:\n{text}")
    found = URL.search(text)
    return found[1] if found else None
