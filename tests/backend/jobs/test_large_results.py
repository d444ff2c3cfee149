"""Results of batch jobs that are larger than anyone's memory may be: kept in a file, and written from there."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

from backend.context import Services
from backend.files import Workspaces
from backend.results import parts as parts_of_results
from backend.sync import spool, window
from backend.sync.cluster import DaskCluster
from processes.environment import Environment
from processes.overrides.trim import TrimmedResult
from tests.backend.clusters import one_worker
from tests.backend.fakes import cube
from tests.backend.jobs.bench import Bench, process_of


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    with one_worker() as local:
        made = DaskCluster(local.scheduler_address)
        yield made
        made.close()


@pytest.fixture
def bench(services: Services, tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker on a real cluster, for which everything is large."""
    monkeypatch.setattr(window, "LEAST_BYTES", 1)
    monkeypatch.setattr(spool, "SPOOL_BYTES", 0)
    monkeypatch.setattr(parts_of_results, "PART_BYTES", 1000)
    monkeypatch.setattr("backend.results.netcdf.PART_BYTES", 1000)
    monkeypatch.setattr("backend.results.gtiff.BLOCK", 16)
    monkeypatch.setattr("backend.results.netcdf.CHUNK_SIDE", 16)
    files = Workspaces(tmp_path / "files", 10_000, quota=1_000_000)
    return Bench(replace(services, cluster=cluster, files=files), tmp_path, job_result_bytes=1)


@pytest.mark.parametrize("form", ["GTiff", "netCDF"])
def test_a_result_by_way_of_a_file_is_what_it_is_by_way_of_memory(
    bench: Bench, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    append = spool.Spool.append
    monkeypatch.setattr(spool.Spool, "append", lambda self, block: kept.append(block.nbytes) or append(self, block))
    expected = cube(3, size=40, chunk=8)
    job = bench.work(process_of("save", format=form, times=3, size=40, chunk=8))
    assert (job.state.status, bench.log(job, "error")) == ("finished", [])
    assert sum(kept) == expected.nbytes
    path = bench.file(job)
    assert path is not None
    assert bench.files() == [path]
    if form == "netCDF":
        with xr.open_dataset(path, engine="netcdf4") as read:
            np.testing.assert_array_equal(read["B08"].values, expected.sel(bands="B08").values)
        return
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), expected.values.reshape(6, 40, 40))
        tags = file.tags(4)
    band = expected.values.reshape(6, 40, 40)[3].astype(np.float64)
    assert (float(tags["STATISTICS_MINIMUM"]), float(tags["STATISTICS_MAXIMUM"])) == (np.nanmin(band), np.nanmax(band))
    assert float(tags["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(band), rel=1e-12)
    assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(band), rel=1e-12)
    assert tags["STATISTICS_VALID_PERCENT"] == "99.94"


def test_a_trimmed_result_is_trimmed_by_way_of_a_file(bench: Bench) -> None:
    def trim(env: Environment) -> Any:
        data = cube(2, ("B04",), size=24, chunk=8)
        return TrimmedResult(data.where(data.x > float(data.x[9])), "netCDF")

    bench.services.graphs.values["trim"] = trim  # type: ignore[attr-defined]
    job = bench.work(process_of("trim"))
    path = bench.file(job)
    assert path is not None
    with xr.open_dataarray(path, engine="netcdf4") as read:
        np.testing.assert_array_equal(read.values, cube(2, ("B04",), size=24).values[:, 0, :, 10:])


def test_what_must_fit_into_memory_is_bounded(bench: Bench) -> None:
    job = bench.work(process_of("save", format="JSON"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert entry.code == "ProcessGraphComplexity"
    assert "OPENEO_EMBED_JOB_RESULT_BYTES" in entry.message


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("backend.jobs.storage.shutil.disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(DaskCluster, "compute", lambda *_, **__: pytest.fail("computed"))
    job = bench.work(process_of("save", format="GTiff"))
    assert bench.services.jobs.entries(job.id, "error")[0].code == "StorageFailure"


def test_a_disk_that_fills_up_while_blocks_come_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    append = spool.Spool.append

    def full(self: spool.Spool, block: np.ndarray) -> Any:
        if self._end > 500:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(self, block)

    monkeypatch.setattr(spool.Spool, "append", full)
    job = bench.work(process_of("save", format="netCDF", size=16))
    assert bench.services.jobs.entries(job.id, "error")[0].code == "StorageFailure"
    assert bench.files() == []
