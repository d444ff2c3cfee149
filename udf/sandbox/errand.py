"""Errands: our own code on strangers' data, in a process of its own that may write to one folder and has the network.

Made for downloading and reading packages. What the process sees, and its lack of rights, are those of users' code; of
the network it may use TCP to the ports named, where the kernel can tell them apart, and ask for names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udf.sandbox import visible
from udf.sandbox.bubblewrap import wrapped
from udf.sandbox.errand_child import LARGEST_ANSWER
from udf.sandbox.offer import offered
from udf.sandbox.system import NOBODY

# What is needed to find a server by its name and to know it by its certificate.
NETWORK_FILES = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)  # fmt: skip
_TOLD = 2_000
_START = """
import sys, types
for name, folder in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from udf.sandbox.errand_child import main
main({answer})
"""


class ErrandError(Exception):
    """The errand failed; `kind` is "time", "crashed", or the name of the error that it ended with."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True)
class Errand:
    """What to run, and what it may do.

    Parameters
    ----------
    handler : str
        ``module:function`` of ours, which takes and returns JSON.
    folder : Path
        Where it may write; where root sends it, the folder becomes nobody's.
    readable : sequence of str
        Further files and folders that it may read.
    ports : sequence of int
        TCP ports that it may connect to; none for no network.
    seconds : float
        Longest time.
    file_bytes : int
        Largest file that it may write.
    memory : int
        Bytes of memory that it may allocate.
    """

    handler: str
    folder: Path
    readable: Sequence[str] = ()
    ports: Sequence[int] = ()
    seconds: float = 300.0
    file_bytes: int = 1 << 30
    memory: int = 2 << 30

    def run(self, request: dict[str, Any], level: str | None = None) -> Any:
        """Run it on a request, at the best level that the system offers; return its answer.

        Raises
        ------
        ErrandError
        """
        level = offered().level if level is None else level
        if os.geteuid() == 0 and level != "none":
            os.chown(self.folder, NOBODY, NOBODY)
        answer = os.memfd_create("errand-answer", os.MFD_CLOEXEC)
        errors = os.memfd_create("errand-errors", os.MFD_CLOEXEC)
        try:
            process = self._started(level, answer, errors)
            try:
                process.communicate(json.dumps(self._order(level, request)).encode(), timeout=max(self.seconds, 0.0))
            except subprocess.TimeoutExpired:
                raise ErrandError("time", f"it took more than {self.seconds:.0f} seconds") from None
            finally:
                process.kill()
                process.wait()
            return _told(os.pread(answer, LARGEST_ANSWER, 0), os.pread(errors, 64 << 10, 0), process.returncode)
        finally:
            os.close(answer)
            os.close(errors)

    def _order(self, level: str, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "level": level,
            "handler": self.handler,
            "request": request,
            "trees": self._trees(),
            "folder": str(self.folder),
            "ports": list(self.ports),
            "seconds": self.seconds,
            "file_bytes": self.file_bytes,
            "memory": self.memory,
        }

    def _trees(self) -> list[str]:
        network = NETWORK_FILES if self.ports else ()
        return visible.trees([Path(path) for path in (*network, *self.readable)])

    def _started(self, level: str, answer: int, errors: int) -> subprocess.Popen[bytes]:
        start = _START.format(packages=visible.packages(), answer=answer)
        command = [sys.executable, "-I", "-c", start]
        user: dict[str, Any] = {}
        if level == "bubblewrap":
            command = wrapped(command, self._trees(), [str(self.folder)], bool(self.ports))
            if os.geteuid() == 0:
                user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={},
            cwd="/",
            pass_fds=[answer],
            start_new_session=True,
            **user,
        )


def _told(answer: bytes, errors: bytes, code: int) -> Any:
    """Return the answer, or raise what the process says or shows of its end."""
    try:
        told = json.loads(answer)
    except ValueError:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise ErrandError(
            "crashed", f"its process ended with {code}: {(lines or ['it said nothing'])[-1][:_TOLD]}"
        ) from None
    if "error" in told:
        raise ErrandError(str(told["error"]), str(told.get("message"))[:_TOLD])
    return told["answer"]
