"""What one call may use, and the limits that the kernel itself holds for the call's process."""

from __future__ import annotations

import mmap
import resource
from dataclasses import asdict, dataclass
from typing import Any

MIB = 1 << 20
ADDRESSES = 1024 * MIB  # address space beyond `memory`: reserved, mostly never touched (threads' heaps and stacks)
THREADS_OF_OTHERS = 64  # the kernel counts the family's other calls and its own two processes with a call's threads


@dataclass(frozen=True)
class Limits:
    """What one call of user code may use at most.

    Attributes
    ----------
    memory : int
        Bytes that the code allocates, on top of its input.
    cpu_seconds : float
        Processor time of all its threads.
    wall_seconds : float
        Time from the call to its answer.
    processes : int
        Threads at once. Further processes are never allowed.
    open_files : int
        Files and pipes at once.
    output_bytes : int
        Bytes of all arrays of the answer.
    scratch_bytes : int
        Bytes of temporary files, held in memory; 0 for no place to write.
    """

    memory: int = 2048 * MIB
    cpu_seconds: float = 300.0
    wall_seconds: float = 600.0
    processes: int = 32
    open_files: int = 128
    output_bytes: int = 2048 * MIB
    scratch_bytes: int = 256 * MIB

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            smallest = 0 if name in ("output_bytes", "scratch_bytes") else 1 if name != "open_files" else 16
            if name.endswith("seconds"):
                smallest = 0
            if not smallest <= value < 1 << 62 or (name.endswith("seconds") and value == 0):
                raise ValueError(f"Limits.{name} is {value}; give a number of at least {smallest or 'more than 0'}.")


def as_json(limits: Limits) -> dict[str, Any]:
    """The limits as plain values, for the guest."""
    return asdict(limits)


def hold(limits: Limits, input_bytes: int, count_threads: bool) -> None:
    """Set the kernel's limits on this process, which already holds what every warm guest holds.

    Parameters
    ----------
    input_bytes : int
        Size of the arrays handed in: they are mapped, and copied where the code changes them.
    count_threads : bool
        True where the kernel counts the sandbox's own threads alone (in a user namespace).
    """
    memory = limits.memory + input_bytes
    _lower(resource.RLIMIT_DATA, _in_use(resource.RLIMIT_DATA) + memory)
    _lower(resource.RLIMIT_AS, _in_use(resource.RLIMIT_AS) + memory + input_bytes + ADDRESSES)
    seconds = int(limits.cpu_seconds) + 1
    _lower(resource.RLIMIT_CPU, seconds, seconds + 1)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_FSIZE, max(limits.output_bytes, limits.scratch_bytes, mmap.PAGESIZE))
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    if count_threads:
        _lower(resource.RLIMIT_NPROC, limits.processes + THREADS_OF_OTHERS)


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    highest = resource.getrlimit(which)[1]
    ends = [soft if highest == resource.RLIM_INFINITY else min(soft, highest) for soft in (soft, hard or soft)]
    resource.setrlimit(which, (ends[0], ends[1]))


def _in_use(which: int) -> int:
    """Bytes that this process has of a kind that the kernel limits.

    There is no /proc to read it from, so the lowest limit is looked for under which one more page is granted.
    """
    soft, hard = resource.getrlimit(which)
    low, high = 0, 1 << 46  # all that a process can address
    try:
        while high - low > MIB:
            middle = (low + high) // 2
            resource.setrlimit(which, (middle if hard == resource.RLIM_INFINITY else min(middle, hard), hard))
            low, high = (low, middle) if _grants_a_page() else (middle, high)
    finally:
        resource.setrlimit(which, (soft, hard))
    return high


def _grants_a_page() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True
