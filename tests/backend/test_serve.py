"""The real server process: its children come back when they die, and all of them go when it goes."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from backend.auth import UserStore
from backend.state import Database
from backend.supervise.backoff import LONGEST, STEADY, Backoff
from tests.backend.server import Server, run_command, serving, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve") / "data", "--demo-user", OMP_NUM_THREADS="2") as server:
        yield server


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_url_is_told_when_the_server_can_compute(server: Server) -> None:
    assert requests.get(server.url + "health", timeout=5).json() == {"status": "ok"}
    assert requests.get(server.url + "ready", timeout=5).json() == {"status": "ready", "workers": 1}
    assert "user demo" in server.log.read_text()


def test_nothing_listens_beyond_this_machine(server: Server) -> None:
    addresses = set()
    for process in [psutil.Process(server.process.pid), *server.family()]:
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                addresses.add(connection.laddr.ip)
    assert addresses
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)


def test_workers_use_one_thread_inside_libraries(server: Server) -> None:
    environ = server.child("workers").environ()
    assert environ["OMP_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "1"


def test_data_folder_is_taken(server: Server) -> None:
    data = server.log.with_suffix("")
    second = run_command("serve", "--data", data, "--port", 0)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "Another server" in second.stderr


@pytest.mark.parametrize("role", ["web", "runner", "workers", "scheduler"])
def test_children_that_die_are_started_again(server: Server, role: str) -> None:
    killed = server.child(role)
    killed.send_signal(signal.SIGKILL)
    until(lambda: _gone([killed]))
    until(lambda: server.alive(role, but=killed.pid) and server.healthy(), 60)
    until(lambda: f"{role} ended (signal SIGKILL)" in server.log.read_text())


def test_sigterm_stops_everything_and_removes_the_demo_user(server: Server) -> None:
    family = server.family()
    assert len(family) >= 5
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0
    assert time.monotonic() - start < 12
    assert _gone(family)
    data = server.log.with_suffix("")
    assert UserStore(Database(f"sqlite:///{data / 'users.sqlite'}")).names() == []
    assert not (data / "run").exists()


def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--log-format", "json") as server:
        family = server.family()
        assert len(family) >= 5
        server.process.kill()
        server.process.wait()
        until(lambda: _gone(family), 15)


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_command("serve", "--data", tmp_path, "--port", port)
    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another --port or --host.\n"
    )


def test_demo_user_is_never_open_to_the_network(tmp_path: Path) -> None:
    ended = run_command("serve", "--data", tmp_path, "--port", 0, "--host", "0.0.0.0", "--demo-user")
    assert ended.returncode == 1
    assert "leave out --demo-user" in ended.stderr
    with contextlib.closing(UserStore(Database(f"sqlite:///{tmp_path / 'users.sqlite'}"))) as users:
        users.set_demo(True)
    ended = run_command("serve", "--data", tmp_path, "--port", 0, "--host", "0.0.0.0")
    assert ended.returncode == 1
    assert "openeo-embed user remove demo" in ended.stderr
    assert run_command("user", "remove", "demo", "--data", tmp_path).returncode == 0


def test_a_model_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    ended = run_command("serve", "--data", tmp_path, "--port", 0, "--model", "nope", OPENEO_EMBED_JOB_SECOND="5")
    assert ended.returncode == 1
    assert "OPENEO_EMBED_JOB_SECOND (OPENEO_EMBED_JOB_SECONDS?), which is no setting" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "Error: OPENEO_EMBED_MODEL (--model) is 'nope': There is no model 'nope'. Models: demo."
    )


def test_a_server_that_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    ended = run_command("serve", "--data", tmp_path, "--port", 0, DASK_DISTRIBUTED__NANNY__PRELOAD="['nonsense']")
    assert ended.returncode == 1
    assert ended.stderr.endswith("Error: The part workers ended 3 times at start; the log says why.\n")


def test_backoff_grows_and_forgets() -> None:
    state, waits = Backoff(), []
    for _ in range(8):
        state, wait = state.after_end(1.0)
        waits.append(wait)
    assert waits[0] < 1
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST
    assert state.after_end(STEADY)[1] == waits[0]
