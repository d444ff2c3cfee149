"""What a call's process uses, as seen from outside: the process itself could lie."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass

from udf.sandbox.limits import MIB, Limits

_HELD = re.compile(rb"^(RssAnon|RssShmem|VmSwap|Threads):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Memory in bytes, processor time in seconds, threads."""

    memory: int
    cpu: float
    threads: int


class Watched:
    """A process that we hold by its pidfd, so that its number cannot pass to another unnoticed."""

    def __init__(self, handle: int):
        self._handle = handle
        self._number = _number_of(handle)

    def usage(self) -> Usage | None:
        """What it uses now; None where it has ended or the system does not tell."""
        try:
            with open(f"/proc/{self._number}/status", "rb") as file:
                held = {name: int(value) for name, value in _HELD.findall(file.read())}
            with open(f"/proc/{self._number}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (OSError, ValueError):
            return None
        if b"RssAnon" not in held:
            return None  # it has ended
        memory = sum(held.get(name, 0) for name in (b"RssAnon", b"RssShmem", b"VmSwap")) << 10
        ticks = os.sysconf("SC_CLK_TCK")
        return Usage(memory, (int(fields[11]) + int(fields[12])) / ticks, held[b"Threads"])

    def kill(self) -> None:
        """End it, and with the first process of a namespace all others in it."""
        with suppress(OSError):  # it has ended
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._handle)


def passed(usage: Usage, limits: Limits, memory_allowed: int) -> str | None:
    """The limit that the usage passes, as a kind of `SandboxError`."""
    if usage.memory > memory_allowed:
        return "memory"
    if usage.cpu > limits.cpu_seconds:
        return "cpu"
    return "processes" if usage.threads > limits.processes else None


def explained(kind: str, limits: Limits) -> str:
    """Which limit ended a call, and what to do."""
    return {
        "memory": f"The code needs more than {_size(limits.memory)} of memory. Let it work on smaller blocks, in "
        "float32, and delete what it no longer needs.",
        "cpu": f"The code took more than {limits.cpu_seconds:g} s of processor time. Let it work on smaller blocks, or "
        "with array operations in place of loops.",
        "time": f"The code had not ended after {limits.wall_seconds:g} s. Look for a loop or a wait without end, or "
        "let it work on smaller blocks.",
        "processes": f"The code started more than {limits.processes} threads. Let it work with fewer.",
        "unwanted": "Nobody waits for the code's answer any more.",
        "output": f"The code's answer is larger than {_size(limits.output_bytes)}, or its messages are too many or no "
        "messages. Return fewer values or smaller types.",
    }[kind]


def _size(size: int) -> str:
    return f"{size / MIB:.0f} MiB" if size >= MIB else f"{size} bytes"


def _number_of(handle: int) -> int:
    with open(f"/proc/self/fdinfo/{handle}") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), -1)
