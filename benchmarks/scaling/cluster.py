"""What a real scheduler and worker processes take: time, and memory while the area grows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import psutil
import rioxarray  # noqa: F401
from dask._task_spec import Task, TaskRef

from benchmarks.scaling.archive import plain, small
from benchmarks.scaling.graphs import written
from benchmarks.scaling.running import workers


def scheduling() -> Iterator[str]:
    """The scheduler's time for each task."""
    yield "## The scheduler"
    yield ""
    yield "The same graphs with tasks that do nothing, on two workers; processor time of the scheduler's process."
    yield ""
    yield "| area | tasks | wall clock | scheduler | scheduler per task | peak of the scheduler |"
    yield "|---|---:|---:|---:|---:|---:|"
    for size in (1000, 2000):
        graph = written(size)
        idle = {key: Task(key, nothing, *map(TaskRef, task.dependencies)) for key, task in graph.tasks.items()}
        with workers(2) as parts:
            client, process = parts.cluster._connected(), psutil.Process(parts.scheduler.pid)
            client.submit(nothing).result()
            before, begin = sum(process.cpu_times()[:2]), time.perf_counter()
            client.get(idle, graph.keys)
            wall, spent = time.perf_counter() - begin, sum(process.cpu_times()[:2]) - before
            yield (
                f"| {size // 100} x {size // 100} km | {len(idle):,} | {wall:.1f} s | {spent:.1f} s | "
                f"{1000 * spent / len(idle):.2f} ms | {process.memory_info().rss / 1e6:.0f} MB |"
            )


def speed() -> Iterator[str]:
    """Embeddings in a second by the number of workers."""
    yield "## Worker processes"
    yield ""
    yield f"One cube in tiles of 8 x 8 pixels, one thread for each process; {os.cpu_count()} cores."
    yield ""
    yield "| processes | tiles | seconds | embeddings/s | largest difference |"
    yield "|---:|---:|---:|---:|---:|"
    lazy, first = small((16, 32)), None
    for count in (1, 2, 4):
        with workers(count) as parts:
            parts.warm(count)
            begin = time.perf_counter()
            out = parts.compute(lazy)
            seconds = time.perf_counter() - begin
        first = out if first is None else first
        off = float(np.nanmax(np.abs(out - first)))
        found = int(np.isfinite(out[0]).sum())
        yield f"| {count} | {lazy.npartitions} | {seconds:.1f} | {found / seconds:.0f} | {off:.1e} |"


def memory() -> Iterator[str]:
    """The peaks of workers and of the runner by area."""
    yield "## Memory"
    yield ""
    yield (
        "Highest resident memory of two worker processes, one run after the other in the same processes, and of the "
        "process that fetches what they make, as the runner of a batch job does, and writes it: embeddings (tiles of "
        "8 x 8 pixels), and a result of plain blocks of 8 MB that are made faster than they are fetched."
    )
    yield ""
    yield "| | 1x | 4x | 16x |"
    yield "|---|---:|---:|---:|"
    with workers(2) as parts:
        parts.warm(2)
        found = [parts.stream(plain(count)) for count in (8, 32, 128)]
    yield row("a large result, in all", [f"{8 * 2**20 * count / 1e6:,.0f} MB" for count in (8, 32, 128)])
    yield row("a worker", [f"{peaks['worker'] / 1e6:.0f} MB" for peaks in found])
    for step in ("fetched", "GTiff", "netCDF"):
        told = "the runner, fetching" if step == "fetched" else f"the runner, writing {step}"
        yield row(told, [f"{peaks[step] / 1e6:.0f} MB" for peaks in found])
    with workers(2) as parts:
        parts.warm(2)
        found = [parts.stream(small((n, n)), write=False) for n in (8, 16, 32)]
    yield row("a worker that embeds", [f"{peaks['worker'] / 1e6:.0f} MB" for peaks in found])


def row(name: str, cells: list[str]) -> str:
    """Return the row of a table."""
    return f"| {name} | " + " | ".join(cells) + " |"


def nothing(*dependencies: object) -> None:
    """Do nothing."""
