"""A Dask cluster of one worker in this process, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import LocalCluster

# No web pages.
QUIET = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}


@contextmanager
def one_worker() -> Iterator[LocalCluster]:
    """Run a scheduler and a worker of two threads."""
    with (
        dask.config.set(QUIET),
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp"
        ) as made,
    ):
        yield made
