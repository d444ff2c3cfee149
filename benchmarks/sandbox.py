"""What the sandbox costs: `python -m benchmarks.sandbox [--small]`.

Start of a family, latency of a warm call, throughput of a cube in and out, for each level that the system offers. The
table is printed and written to ``benchmarks/sandbox.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import this_machine
from udf.sandbox import Limits, Sandbox, offered
from udf.sandbox.limits import MIB

GUESTS = Path(__file__).parents[1] / "tests" / "udf" / "sandbox" / "guests"
ECHO = "made = arrays"
REPORT = Path(__file__).with_suffix(".md")


def measured(level: str, calls: int, size: int) -> list[str]:
    """One line of the table."""
    started = time.perf_counter()
    with Sandbox(Limits(), handler="running_guest:run", read_only=[GUESTS], level=level) as box:
        box.call({"code": ""}, [])
        first = time.perf_counter() - started
        warm, warm_cpu = _repeated(box, calls, "", [])
        cube = np.random.default_rng(0).random(size // 4, dtype=np.float32).reshape(4, -1)
        _repeated(box, 2, ECHO, [cube])
        moved, moved_cpu = _repeated(box, 9, ECHO, [cube])
    volume = 2 * cube.nbytes / 1e9
    return [
        level,
        f"{first:.2f} s",
        f"{statistics.median(warm) * 1e3:.1f} ms",
        f"{sorted(warm)[int(0.95 * len(warm))] * 1e3:.1f} ms",
        f"{warm_cpu * 1e3:.1f} ms",
        f"{volume / statistics.median(moved):.2f} GB/s",
        f"{volume / moved_cpu:.2f} GB/s",
    ]


def _repeated(box: Sandbox, times: int, code: str, arrays: list[np.ndarray]) -> tuple[list[float], float]:
    """Seconds of each call, and processor seconds of a call on both sides together."""
    before = _cpu(box)
    seconds = [_seconds(box, code, arrays) for _ in range(times)]
    return seconds, (_cpu(box) - before) / times


def _seconds(box: Sandbox, code: str, arrays: list[np.ndarray]) -> float:
    started = time.perf_counter()
    box.call({"code": code}, arrays)
    return time.perf_counter() - started


def _cpu(box: Sandbox) -> float:
    """Processor seconds of this process, of the family and of the calls that have ended."""
    family = psutil.Process(box._living()._process.pid)
    guests = [process.cpu_times() for process in [family, *family.children(recursive=True)]]
    ended = sum(times.user + times.system + times.children_user + times.children_system for times in guests)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ended + usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="fewer calls and a cube of 16 MB: checks that it runs")
    small = parser.parse_args().small
    calls, size = (10, 16 * MIB) if small else (100, 256 * MIB)
    head = ["level", "first call", "warm call", "95 %", "its processor time", "cube in and out", "per core"]
    rows = [measured(level, calls, size) for level in offered().levels]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] + ["---:"] * 6, *rows])
    release = platform.release().partition("-")[0]
    text = (
        "# Cost of the sandbox\n\n"
        f"`python -m benchmarks.sandbox` on {this_machine()}, Linux {release}: a cube of {size // MIB} MB that "
        f"the guest returns, {calls} warm calls. Per core is by the processor time of the caller and its guests "
        f"together. The machine's load at the end was {os.getloadavg()[0]:.1f}: above one per core, waiting for others "
        "is in all other columns.\n\n"
        f"{table}\n"
    )
    print(text)
    if not small:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
