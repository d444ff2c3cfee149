"""The caller's side of a guest family: starts its first process and hands calls to it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udf.sandbox import visible
from udf.sandbox.bubblewrap import wrapped
from udf.sandbox.errors import SandboxError
from udf.sandbox.limits import Limits, as_json
from udf.sandbox.zygote import LARGEST

STARTS_WITHIN = 120.0  # seconds: the imports, on a machine that does much else
ENDS_WITHIN = 5.0
GUESTS_OWN = ("udf.guest.run", "udf.guest.entries", "udf.guest.features", "udf.guest.metadata")
# The packages `udf` and `udf.sandbox` without what their `__init__` import: the server's side stays outside.
_START = """
import sys, types
for name, folder in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from udf.sandbox.zygote import main
main({control})
"""


class NotStarted(Exception):
    """The first process could not shut itself in; the message says at what it failed."""


@dataclass(frozen=True)
class Call:
    """The caller's ends of a running call."""

    messages: socket.socket
    status: socket.socket

    def close(self) -> None:
        """Let go of the call."""
        self.messages.close()
        self.status.close()


class Family:
    """A warm first process and the socket that calls are handed over by.

    Parameters
    ----------
    level : str
        How it shuts itself in: "namespaces", "bubblewrap", "landlock" or "none".
    handler : str
        ``module:function``, or empty for a trial start.
    read_only : sequence of Path
        Further folders that guests may read and import from.
    preload : sequence of str
        Further modules to import before the first call.
    """

    def __init__(self, level: str, handler: str, read_only: Sequence[Path] = (), preload: Sequence[str] = ()):
        self.level = level
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors = os.memfd_create("udf-errors", os.MFD_CLOEXEC)
        try:
            with theirs:  # closed at once: else its death would go unnoticed
                self._process = _started(level, theirs, errors, read_only)
            self._greet(_config(level, handler, read_only, preload), errors)
        except BaseException:
            self._control.close()
            raise
        finally:
            os.close(errors)

    def call(self, limits: Limits, given: int, taken: int) -> Call:
        """Start a call with an input and an output file; raises OSError where the family has died."""
        messages, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, reported = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        call = Call(messages, status)
        try:
            order = json.dumps({"limits": as_json(limits)}).encode()
            socket.send_fds(self._control, [order], [theirs.fileno(), reported.fileno(), given, taken])
        except BaseException:
            call.close()
            raise
        finally:
            theirs.close()
            reported.close()
        return call

    @property
    def alive(self) -> bool:
        """Whether the first process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the first process, and with it all calls."""
        self._control.close()
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # bwrap alone would leave its own child
            self._process.wait()

    def __del__(self) -> None:
        if hasattr(self, "_process") and self.alive:
            self.close()

    def _greet(self, config: dict[str, Any], errors: int) -> None:
        told: dict[str, Any] = {}
        lost = "its first process did not answer"
        try:
            self._control.send(json.dumps(config).encode())
            if select.select([self._control], [], [], STARTS_WITHIN)[0]:
                told = json.loads(self._control.recv(LARGEST) or b"{}")
        except OSError as error:
            lost = str(error)
        if told.get("ready"):
            return
        self.close()
        lines = os.pread(errors, LARGEST, 0).decode(errors="replace").strip().splitlines()
        raise NotStarted(told.get("error") or (lines[-1] if lines else lost))


def _config(level: str, handler: str, read_only: Sequence[Path], preload: Sequence[str]) -> dict[str, Any]:
    return {
        "level": level,
        "handler": handler,
        "trees": visible.trees(read_only),
        "paths": [str(path) for path in read_only],
        "preload": [*(GUESTS_OWN if handler.startswith("udf.guest") else ()), *preload],
    }


def _started(level: str, control: socket.socket, errors: int, read_only: Sequence[Path]) -> subprocess.Popen[bytes]:
    """Start Python without environment, without files but the control socket, and away from the terminal."""
    if not sys.executable or sys.platform != "linux":
        raise SandboxError("unavailable", "Users' code runs on Linux alone, beside an ordinary Python interpreter.")
    start = _START.format(packages=visible.packages(), control=control.fileno())
    command = [sys.executable, "-I", "-c", start]
    user: dict[str, Any] = {}
    if level == "bubblewrap":
        command = wrapped(command, visible.trees(read_only))
        if os.geteuid() == 0:
            user = {"user": 65534, "group": 65534, "extra_groups": []}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={},
        cwd="/",
        pass_fds=[control.fileno()],
        start_new_session=True,
        **user,
    )
