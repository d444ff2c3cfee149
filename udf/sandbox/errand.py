"""Errands: our own code on strangers' data, in a process of its own that may write to one folder and has the network.

Made for downloading and reading packages. What the process sees, and its lack of rights, are those of users' code; of
the network it may use TCP to the ports named, where the kernel can tell them apart, and ask for names.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
_LARGEST_ERRORS = 64 << 10  # bytes
_TOLD = 2_000
_LOOKS_EVERY = 1.0  # seconds, and no more than a twentieth of the time
_START = """
import sys, types
for name, folder in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from udf.sandbox.errand_child import main
main({answer})
"""


class ErrandError(Exception):
    """The errand failed; `kind` is "time", "room", "crashed", or the name of the error that it ended with."""

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
    folder_files, folder_bytes : int
        Largest number of files and folders in the folder, and the room that they may take; looked at now and then.
    """

    handler: str
    folder: Path
    readable: Sequence[str] = ()
    ports: Sequence[int] = ()
    seconds: float = 300.0
    file_bytes: int = 1 << 30
    memory: int = 2 << 30
    folder_files: int = 100_000
    folder_bytes: int = 16 << 30

    def run(self, request: dict[str, Any], level: str | None = None) -> Any:
        """Run it on a request, at the best level that the system offers; return its answer.

        Raises
        ------
        ErrandError
        """
        level = offered().level if level is None else level
        if os.geteuid() == 0 and level != "none":
            os.chown(self.folder, NOBODY, NOBODY)
        order = json.dumps(self._order(level, request)).encode()
        with _memory(len(order), order) as asked, _memory(LARGEST_ANSWER) as answer, _memory(_LARGEST_ERRORS) as errors:
            code = self._lived(self._started(level, asked, answer, errors))
            return _told(_written(answer, LARGEST_ANSWER), _written(errors, _LARGEST_ERRORS), code)

    def _lived(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a box, or end it; return its exit status. No process of it is left."""
        ends = time.monotonic() + self.seconds
        pause = _LOOKS_EVERY
        try:
            while not _ended(process.pid, min(pause, ends - time.monotonic())):
                looked = time.monotonic()
                if looked >= ends:
                    raise ErrandError("time", f"it took more than {self.seconds:.0f} seconds")
                self._look_at_folder()
                pause = max(_LOOKS_EVERY, 20 * (time.monotonic() - looked))
        finally:
            # All that came of it: bwrap alone would leave its own child. Its number is its own until it is waited for.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode

    def _look_at_folder(self) -> None:
        """Raise ErrandError "room" where the box has written too much, or what cannot be looked at."""
        folders, files, size = [str(self.folder)], 0, 0
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        files, size = files + 1, size + _room(entry)
                        if files > self.folder_files or size > self.folder_bytes:
                            limits = f"{self.folder_files} files and {self.folder_bytes} bytes are possible"
                            raise ErrandError("room", f"it wrote too much into its folder; {limits}")
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it is gone
            except OSError as error:
                raise ErrandError("room", f"it wrote what cannot be looked at: {error.strerror}") from None

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

    def _started(self, level: str, asked: int, answer: int, errors: int) -> subprocess.Popen[bytes]:
        start = _START.format(packages=visible.packages(), answer=answer)
        command = [sys.executable, "-I", "-c", start]
        user: dict[str, Any] = {}
        if level == "bubblewrap":
            command = wrapped(command, self._trees(), [str(self.folder)], bool(self.ports), ends_with_us=True)
            if os.geteuid() == 0:
                user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return subprocess.Popen(
            command,
            stdin=asked,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={},
            cwd="/",
            pass_fds=[answer],
            start_new_session=True,
            **user,
        )


@contextmanager
def _memory(size: int, content: bytes = b"") -> Iterator[int]:
    """Make a file in memory that never grows, nor changes where it has content; whoever writes more gets an error."""
    file = os.memfd_create("errand", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.truncate(file, size)
        os.pwrite(file, content, 0)
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals | (fcntl.F_SEAL_WRITE if content else 0))
        yield file
    finally:
        os.close(file)


def _written(file: int, size: int) -> bytes:
    return os.pread(file, size, 0).rstrip(b"\0")


def _ended(process: int, seconds: float) -> bool:
    """Whether a child ends within a time; it is not waited for, so that its number stays its own."""
    handle = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(seconds, 0.0) * 1000))
    finally:
        os.close(handle)


def _room(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _told(answer: bytes, errors: bytes, code: int) -> Any:
    """Return the answer, or raise what the process says or shows of its end; what is neither is an error, too."""
    if not answer:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise ErrandError("crashed", f"its process ended with {code}: {(lines or ['it said nothing'])[-1][:_TOLD]}")
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not ("answer" in told or isinstance(told.get("error"), str)):
        raise ErrandError("crashed", f"its process ended with {code}, and what it wrote is no answer")
    if "error" in told:
        message = told.get("message")
        raise ErrandError(str(told["error"])[:_TOLD], message[:_TOLD] if isinstance(message, str) else "")
    return told["answer"]
