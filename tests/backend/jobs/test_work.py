"""One job computed by a worker: its result, its usage, its files."""

from __future__ import annotations

from typing import Any

import dask.array as da
import rasterio
import xarray as xr

from processes.environment import Environment
from tests.backend.jobs.bench import LEASE, Bench, process_of


def test_a_job_leaves_its_result_log_and_usage(bench: Bench) -> None:
    job = bench.work(process_of("save", format="GTiff", times=1))
    assert (job.state.status, job.state.progress, job.state.attempts) == ("finished", 100.0, 1)
    with rasterio.open(bench.file(job)) as file:
        assert file.descriptions == ("B04", "B08")
    assert job.usage is not None
    assert job.usage["tasks"]["value"] > 0
    assert job.usage["max_worker_memory"] == {"value": 123, "unit": "mb"}
    assert job.usage["max_runner_memory"]["value"] > 0
    assert bench.services.jobs.result_bytes("anna") == bench.file(job).stat().st_size  # type: ignore[union-attr]
    told = bench.log(job)
    assert "attempt 1" in told[0]
    assert told[-1].startswith("Finished: ")
    assert bench.services.jobs.entries(job.id)[-1].more["usage"] == job.usage


def test_a_job_computes_what_a_request_computes(bench: Bench) -> None:
    job = bench.work(process_of("number"))
    path = bench.file(job)
    assert path is not None
    assert path.read_text() == "4.5"


def test_each_run_begins_with_no_files(bench: Bench) -> None:
    job = bench.work(process_of("save", format="GTiff"))
    bench.services.jobs.start("anna", job.id)
    again = bench.services.jobs.claim("runner", LEASE)
    assert again is not None
    bench.worker.work(again)
    (file,) = bench.files()
    assert file.parent.name == "2-1"


def test_the_cluster_learns_whose_job_it_computes(bench: Bench) -> None:
    bench.work(process_of("load"))
    (asked,) = bench.services.cluster.asked  # type: ignore[attr-defined]
    assert (asked.user, asked.kind) == ("anna", "job")


def test_cubes_are_not_computed_twice(bench: Bench) -> None:
    counted = []

    def count(block: Any) -> Any:
        counted.append(block.shape)
        return block

    def counting(env: Environment) -> Any:
        data = da.ones((2, 4), chunks=(2, 2)).map_blocks(count, meta=da.ones((1, 1), chunks=1)._meta)
        coords = {"y": [10.0, 0.0], "x": [0.0, 10.0, 20.0, 30.0]}
        return xr.DataArray(data, dims=("y", "x"), coords=coords).rio.write_crs(32631)

    bench.services.graphs.values["counting"] = counting  # type: ignore[attr-defined]
    job = bench.work(process_of("counting"))
    assert job.state.status == "finished"
    assert counted == [(2, 2), (2, 2)]
