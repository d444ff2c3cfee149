"""A runner process: computes batch jobs, one at a time."""

from __future__ import annotations

import signal
import threading

from backend.supervise.imports import uncollected
from backend.supervise.orders import Orders
from backend.supervise.priority import give_way


def run_runner(orders: Orders) -> None:
    """Run jobs until told to stop."""
    with uncollected():
        from backend.jobs.runner import Runner

    give_way()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Runner(orders.settings, orders.scheduler, stopping).run()
