"""Runs of batch jobs as the cluster sees them, and sizes at which everything is large."""

from __future__ import annotations

import time

import pytest

from backend.sync import blocks, window
from backend.sync import spool as spools


class JobRun:
    """A run of a batch job, as the cluster sees it."""

    user, kind, started = "anna", "job", 0.0

    def __init__(self) -> None:
        self.id = f"run-{time.monotonic_ns()}"
        self.about = {"job": self.id}


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything be large: six blocks are asked for at a time, and all arrays go to the file."""
    monkeypatch.setattr(window, "LEAST_BYTES", 1)
    monkeypatch.setattr(spools, "SPOOL_BYTES", 0)
    monkeypatch.setattr(blocks, "BATCH_BLOCKS", 2)
