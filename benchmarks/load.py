"""Load on the web server: `python -m benchmarks.load [--clients 200] [--submitters 20] [--jobs 4] [--seconds 40]`.

Starts a real server with a small simulated archive in a temporary folder. Each client reads its user's list of jobs and
the new entries of a job's log once a second; each submitter creates and starts a job once a second, as many of which
run at once as `--jobs` says, each an embedding. The table is printed and, with `--write`, kept in
``benchmarks/load.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.server import START_SECONDS, USERS, serving

PERIOD = 1.0
LIMITS = {"median": 50.0, "99th": 500.0}  # milliseconds, of reads
REPORT = Path(__file__).with_suffix(".md")


@dataclass
class Tally:
    """What was measured: milliseconds by kind of request, errors by what they say, jobs seen running."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    running: list[int] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)


class Client:
    """One client with one connection that stays open, as `requests.Session` has it."""

    def __init__(self, port: int, token: str, tally: Tally) -> None:
        self._port, self._token, self._tally = port, token, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, kind: str, method: str, path: str, body: Any = None) -> tuple[dict[str, str], bytes]:
        """Send a request and note how long the whole answer took; whatever is no success is an error."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer basic//{self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        begin = time.perf_counter()
        try:
            status, headers, answer = await self._exchange(head.encode() + content)
        except (OSError, asyncio.IncompleteReadError) as error:
            self._tally.errors[f"{kind}: {type(error).__name__}"] += 1
            self._streams = None
            return {}, b""
        self._tally.times[kind].append(1000 * (time.perf_counter() - begin))
        if status >= 300:
            self._tally.errors[f"{kind}: {status} {answer[:120].decode(errors='replace')}"] += 1
            return {}, b""
        return headers, answer

    async def _exchange(self, message: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send and receive; an idle connection that the server has closed is opened again, as any client does."""
        if self._streams is not None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self._once(message)
            self._streams[1].close()
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return await self._once(message)

    async def _once(self, message: bytes) -> tuple[int, dict[str, str], bytes]:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(message)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            writer.close()
            self._streams = None
        return int(lines[0].split()[1]), headers, body


async def poll(client: Client, end: float, watch: list[dict[str, Any]] | None) -> None:
    """Read the list of jobs and the news of the latest begun job's log once a second."""
    await asyncio.sleep(random.random() * PERIOD)
    job, seen = "", ""
    while time.monotonic() < end:
        begin = time.monotonic()
        _, answer = await client.ask("list of jobs", "GET", "/jobs")
        jobs = json.loads(answer or '{"jobs": []}')["jobs"]
        if watch is not None:
            watch[:] = jobs
        begun = [found["id"] for found in jobs if found["status"] in ("running", "finished")]
        latest = (begun or [found["id"] for found in jobs[:1]])[:1]
        for wanted in latest:
            job, seen = wanted, seen if wanted == job else ""
            _, answer = await client.ask("log of a job", "GET", f"/jobs/{job}/logs?offset={seen}")
            entries = json.loads(answer or '{"logs": []}')["logs"]
            seen = entries[-1]["id"] if entries else seen
        await asyncio.sleep(max(0.0, PERIOD - (time.monotonic() - begin)))


async def submit(client: Client, end: float) -> None:
    """Create and start a job once a second."""
    await asyncio.sleep(random.random() * PERIOD)
    while time.monotonic() < end:
        begin = time.monotonic()
        headers, _ = await client.ask("create a job", "POST", "/jobs", {"title": "Load", "process": process()})
        if "openeo-identifier" in headers:
            await client.ask("start a job", "POST", f"/jobs/{headers['openeo-identifier']}/results")
        await asyncio.sleep(max(0.0, PERIOD - (time.monotonic() - begin)))


def process() -> dict[str, Any]:
    """An embedding of a small area, and its median over time."""
    dates = ["2022-06-20", "2022-07-10"]
    area = {"west": 679_100, "south": 5_151_100, "east": 679_300, "north": 5_151_300, "crs": 32632}
    load = {"spatial_extent": area, "temporal_extent": dates}
    median = {"m": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
    embed = {"data": {"from_node": "s2"}, "others": [{"from_node": "s1"}]}
    reduce = {"data": {"from_node": "embed"}, "dimension": "t", "reducer": {"process_graph": median}}
    nodes = {
        "s2": {"process_id": "load_collection", "arguments": {"id": "SENTINEL2_L2A", **load}},
        "s1": {"process_id": "load_collection", "arguments": {"id": "SENTINEL1_RTC", **load}},
        "embed": {"process_id": "multimodal_embed", "arguments": embed},
        "reduce": {"process_id": "reduce_dimension", "arguments": reduce, "result": True},
    }
    return {"process_graph": nodes}


async def load(arguments: argparse.Namespace, port: int, tokens: list[str], server: psutil.Process) -> Tally:
    """Fill the queue, wait until all jobs run, and measure."""
    tally, before = Tally(), Tally()
    fillers = [Client(port, token, before) for token in tokens]
    for client in fillers:
        for _ in range(2):
            headers, _ = await client.ask("", "POST", "/jobs", {"title": "First", "process": process()})
            await client.ask("", "POST", f"/jobs/{headers['openeo-identifier']}/results")
    begin = time.monotonic()
    while await _running(fillers) < arguments.jobs and time.monotonic() < begin + START_SECONDS:
        await asyncio.sleep(0.5)
    if before.errors:
        raise SystemExit(f"the server was not up to the first jobs: {dict(before.errors)}")
    processes = {name: _of_role(server, name) for name in ("web", "workers", "runner")}
    used = {name: _cpu_seconds(found) for name, found in processes.items()}
    end = time.monotonic() + arguments.seconds
    watched: list[list[dict[str, Any]]] = [[] for _ in tokens]
    clients = [
        poll(Client(port, tokens[i % USERS], tally), end, watched[i] if i < USERS else None)
        for i in range(arguments.clients)
    ]
    submitters = [submit(Client(port, tokens[i % USERS], tally), end) for i in range(arguments.submitters)]
    first = os.getloadavg()[0]
    await asyncio.gather(*clients, *submitters, _count(watched, end, tally))
    tally.load = (first, os.getloadavg()[0])
    tally.cpu = {name: (_cpu_seconds(processes[name]) - used[name]) / arguments.seconds for name in used}
    tally.cpu["this client"] = time.process_time() / (time.monotonic() - begin)
    return tally


async def _running(clients: list[Client]) -> int:
    answers = [await client.ask("", "GET", "/jobs") for client in clients]
    return sum(job["status"] == "running" for _, body in answers for job in json.loads(body)["jobs"])


async def _count(watched: list[list[dict[str, Any]]], end: float, tally: Tally) -> None:
    await asyncio.sleep(2 * PERIOD)
    while time.monotonic() < end:
        tally.running.append(sum(job["status"] == "running" for jobs in watched for job in jobs))
        await asyncio.sleep(PERIOD)


def _of_role(server: psutil.Process, role: str) -> list[psutil.Process]:
    found = [child for child in server.children() if child.cmdline()[-1] == role]
    return [*found, *itertools.chain.from_iterable(child.children(recursive=True) for child in found)]


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for item in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = item.cpu_times()
            total += times.user + times.system
    return total


def table(arguments: argparse.Namespace, tally: Tally) -> str:
    """The report."""
    from torch import device

    from models.benchmark import machine

    lines = [
        "# Load on the web server",
        "",
        f"`python -m benchmarks.load --clients {arguments.clients} --submitters {arguments.submitters} --jobs "
        f"{arguments.jobs} --seconds {arguments.seconds:g}` on {machine(device('cpu'))}; load average "
        f"{tally.load[0]:.1f} before and {tally.load[1]:.1f} after.",
        "",
        "| request | count | per second | median | 95th | 99th | longest |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, times in sorted(tally.times.items(), reverse=True):
        marks = [f"{value:.0f} ms" for value in (*np.percentile(times, [50, 95, 99]), max(times))]
        lines.append(f"| {kind} | {len(times)} | {len(times) / arguments.seconds:.0f} | " + " | ".join(marks) + " |")
    reads = tally.times["list of jobs"] + tally.times["log of a job"]
    median, high = np.percentile(reads, [50, 99])
    held = median < LIMITS["median"] and high < LIMITS["99th"] and not tally.errors
    cores = ", ".join(f"{name} {share:.2f}" for name, share in tally.cpu.items())
    lines += [
        "",
        f"Reads: median {median:.0f} ms (at most {LIMITS['median']:.0f}), 99th percentile {high:.0f} ms (at most "
        f"{LIMITS['99th']:.0f}), {tally.errors.total()} errors: {'held' if held else 'NOT held'}. "
        f"{np.mean(tally.running or [0]):.1f} jobs ran on average. Cores used: {cores}.",
        *(f"- {count} x {what}" for what, count in tally.errors.most_common(10)),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("clients", 200), ("submitters", 20), ("jobs", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {REPORT.name}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), arguments.jobs) as (port, tokens, server):
        text = table(arguments, asyncio.run(load(arguments, port, tokens, server)))
    print(text)
    if arguments.write:
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
