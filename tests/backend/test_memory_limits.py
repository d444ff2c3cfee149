"""A computation that needs more memory than it may have ends with an error that names the limit, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dask
import dask.array as da
import pytest
import xarray as xr
from distributed import LocalCluster

from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from processes.errors import OpenEOError
from tests.backend.clusters import QUIET

LIMIT = 400 * 2**20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster of one worker process, which its nanny kills when it outgrows its memory."""
    with (
        dask.config.set({**QUIET, "distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            memory_limit=LIMIT,
            dashboard_address=None,
            protocol="tcp",
            silence_logs=logging.CRITICAL,
            local_directory=str(tmp_path),
        ) as local,
    ):
        made = DaskCluster(local.scheduler_address)
        yield made
        made.close()


def test_a_task_that_outgrows_its_worker(cluster: DaskCluster) -> None:
    """Really: the worker is killed, the next one too, and the cluster goes on computing other things."""
    large = xr.DataArray(da.arange(300_000_000, chunks=-1, dtype="float64") + 1, dims="x")
    with pytest.raises(OpenEOError) as refused:
        cluster.compute(SyncRequest("large", "anna", {}), large, Deadline(120.0))
    assert refused.value.code == "ProcessGraphComplexity"
    assert "400 MiB, OPENEO_EMBED_WORKER_MEMORY" in refused.value.message
    small = xr.DataArray(da.arange(10, chunks=-1), dims="x")
    assert cluster.compute(SyncRequest("small", "anna", {}), small, Deadline(60.0)).sum() == 45
