"""How long a child that ended waits for its next start."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.settings import read_settings
from backend.supervise.child import Child
from backend.supervise.orders import Orders


@pytest.mark.parametrize(("status", "failures"), [(0, [1, 1, 1]), (1, [1, 2, 3])])
def test_only_failures_make_the_pauses_longer(tmp_path: Path, status: int, failures: list[int]) -> None:
    """A runner that ends after each large job, to be fresh for the next one, does not keep users waiting."""
    child = Child("runner", Orders(read_settings({}, data=tmp_path), "tcp://127.0.0.1:1"), {})
    found = []
    for _ in failures:
        line = [sys.executable, "-S", "-c", f"raise SystemExit({status})"]
        process = subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True, text=True)
        process.wait()
        child._process, child._started = process, time.monotonic()
        assert child.ended() == status
        found.append(child.failures)
    assert found == failures
