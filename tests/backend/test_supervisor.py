"""What the supervisor does when a child ends, without processes."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from backend.settings import read_settings
from backend.supervise import supervisor
from backend.supervise.supervisor import Supervisor


class Actor:
    """A child that ends when it is told to in its `status`."""

    def __init__(self, role: str, *_: Any) -> None:
        self.role, self.pid, self.failures, self.start_at = role, 1, 1, 0.0
        self.status: int | None = None
        self.asked_to_end = 0
        self.calls: list[tuple[str, str]] = []

    def ended(self) -> int | None:
        """Return, once, what the child ended with."""
        status, self.status = self.status, None
        return status

    def end_soon(self) -> None:
        """Count."""
        self.asked_to_end += 1
        self.calls.append(("end", self.role))

    def await_end(self, _: float) -> None:
        """Note."""
        self.calls.append(("await", self.role))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Supervisor, dict[str, Actor]]:
    monkeypatch.setattr(supervisor, "Child", Actor)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        made = Supervisor(read_settings({}, data=tmp_path, runners=1), listener, {})
    return made, {child.role: child for child in made._children}  # type: ignore[misc]


def test_workers_do_not_outlast_their_scheduler(children: tuple[Supervisor, dict[str, Actor]]) -> None:
    """They would finish tasks first whose results nobody can fetch, and meanwhile there would be no workers."""
    made, roles = children
    roles["scheduler"].status = -9
    made._mend()
    assert {role: child.asked_to_end for role, child in roles.items()} == {
        "scheduler": 0,
        "workers": 1,
        "runner": 0,
        "web": 0,
    }


@pytest.mark.parametrize("role", ["workers", "runner", "web"])
def test_other_parts_end_alone(children: tuple[Supervisor, dict[str, Actor]], role: str) -> None:
    made, roles = children
    roles[role].status = 1
    made._mend()
    assert not any(child.asked_to_end for child in roles.values())


def test_all_runners_end_at_once_before_the_cluster(children: tuple[Supervisor, dict[str, Actor]]) -> None:
    """Each may take seconds to give its job back: one after the other, many would outlast whoever stops the server."""
    made, roles = children
    calls: list[tuple[str, str]] = []
    made._children = [*roles.values(), Actor("runner")]  # type: ignore[list-item]
    for child in made._children:
        child.calls = calls  # type: ignore[attr-defined]
    made._stop()
    both = ["runner", "web", "runner"]
    cluster = [(call, role) for role in ("workers", "scheduler") for call in ("end", "await")]
    assert calls == [*(("end", role) for role in both), *(("await", role) for role in both), *cluster]


def test_a_server_that_does_not_become_ready_says_why(
    children: tuple[Supervisor, dict[str, Actor]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, _ = children
    full = b'{"status": "unavailable", "missing": ["the disk of the data folder is full"]}'
    made._tell_missing(full)
    assert caplog.text == ""  # it has just begun
    monkeypatch.setattr(supervisor, "TELL_SECONDS", 0.0)
    for answer in (full, full, b"<html>", b"[]"):
        made._tell_missing(answer)
    assert caplog.text.count("cannot compute yet: the disk of the data folder is full") == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("before", "stops"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)], ids=["plain", "nohup"])
def test_a_terminal_that_is_gone_stops_the_server_in_order(
    children: tuple[Supervisor, dict[str, Actor]], monkeypatch: pytest.MonkeyPatch, before: Any, stops: bool
) -> None:
    made, _ = children
    made._children = []
    handlers = []

    def end() -> bool:
        handlers.append(signal.getsignal(signal.SIGHUP))
        made._stop_soon()
        return False

    monkeypatch.setattr(made, "_answers", end)
    kept = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGHUP, before)
        made.run(lambda: None)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert (handlers == [made._stop_soon]) == stops
