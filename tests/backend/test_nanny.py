"""Workers that end as soon as they have begun: started again for ever, but not without a pause."""

from __future__ import annotations

import asyncio

import pytest
from distributed import Scheduler

from backend.supervise.backoff import Backoff
from backend.supervise.nanny import STEADY, PatientNanny

ENDS = """
import os, threading

def dask_setup(worker):
    threading.Timer(0.2, os._exit, (3,)).start()
"""


def test_a_worker_that_ends_at_once_is_started_again_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def note(self: PatientNanny, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            enough.set()
            await asyncio.sleep(3600)  # the nanny is closed meanwhile

    monkeypatch.setattr(PatientNanny, "_wait", note)

    async def run() -> None:
        options = {"nthreads": 1, "name": "worker-0", "preload": [ENDS], "dashboard": False, "host": "127.0.0.1"}
        async with (
            Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as scheduler,
            PatientNanny(scheduler.address, **options),
        ):
            await asyncio.wait_for(enough.wait(), 60)

    asyncio.run(run())
    assert 0 < pauses[0] < pauses[1] < pauses[2]
    assert "worker-0 ended soon after its start 3 times in a row" in caplog.text


def test_a_worker_that_ends_after_a_while_comes_back_at_once() -> None:
    """Tasks that outgrow its memory have ended it: others wait for it."""
    state = Backoff(6)
    assert state.after_end(STEADY, STEADY) == Backoff().after_end(0.0)
    assert state.after_end(STEADY)[1] > STEADY
