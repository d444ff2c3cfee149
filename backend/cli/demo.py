"""`openeo-embed demo`: sample archive, server, the first example, all in one go."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from backend.cli.options import settings_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_embedding.py"
PATIENCE = 120  # seconds until the server answers


@click.command()
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-output"), show_default=True
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-data"), show_default=True)
@click.option("--port", type=int, default=0, help="Port of the server; by default a free one.")
def demo(output: Path, data: Path, port: int) -> None:
    """Write the sample archive, start a server, embed a part of it over HTTP, write the results, stop.

    Everything that the server needs goes to --data, the results to --output.
    """
    if not EXAMPLE.is_file():
        raise click.ClickException(f"{EXAMPLE} is missing: run the demonstration from a checkout of the repository")
    began = time.monotonic()
    data, output = data.resolve(), output.resolve()
    _prepare(data)
    with _server(data, port or _free_port()) as url:
        _run_example(url, output)
    click.echo(f"Finished in {time.monotonic() - began:.0f} s. Results: {output}")


def _prepare(data: Path) -> None:
    """Write the sample archive unless an earlier run has."""
    from processes.sources import FileCatalog

    if not FileCatalog(settings_of(data).data / "catalog.json").ids():
        subprocess.run([*_command(), "sample-data", "--data", str(data)], check=True)


@contextmanager
def _server(data: Path, port: int) -> Iterator[str]:
    """Run `serve` with the demo user as a process of its own; yield its url when it answers."""
    arguments = ["serve", "--data", str(data), "--port", str(port), "--demo-user"]
    log = (data / "demo-server.log").open("w")
    process = subprocess.Popen([*_command(), *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, Path(log.name))
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    click.echo("Starting the server ...")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise click.ClickException(f"the server ended with status {process.returncode}; see {log}")
        try:
            if requests.get(f"{url}/ready", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):  # a busy machine is slow to begin
            pass
        time.sleep(0.3)
    raise click.ClickException(f"the server did not answer at {url} within {PATIENCE} s; see {log}")


def _run_example(url: str, output: Path) -> None:
    """Run the example script; below its lines a bar shows what its running request has done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    arguments = [sys.executable, str(EXAMPLE), "--url", url, "--output", str(output)]
    done = threading.Event()
    with Progress(*columns, console=Console(), transient=True) as progress:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        watcher = threading.Thread(target=_follow, args=(url, progress, done), daemon=True)
        watcher.start()
        for line in process.stdout or ():
            progress.console.print(line.rstrip(), highlight=False)
        done.set()
        status = process.wait()
        watcher.join(timeout=10)
    if status:
        raise click.ClickException(f"{EXAMPLE.name} ended with status {status}")


def _follow(url: str, progress: Any, done: threading.Event) -> None:
    """Show the running request's share of finished tasks, as the server tells it."""
    import openeo

    connection = openeo.connect(url).authenticate_basic("demo", "demo")
    bars: dict[str, Any] = {}
    while not done.wait(0.5):
        running = connection.get("/requests/progress").json()["requests"]
        for request in running:
            if request["id"] not in bars:
                bars[request["id"]] = progress.add_task("Computing on the workers", total=100)
            progress.update(bars[request["id"]], completed=request["percent"])
        for identifier in set(bars) - {request["id"] for request in running}:
            progress.remove_task(bars.pop(identifier))


def _command() -> list[str]:
    return [sys.executable, "-m", "backend.cli"]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
