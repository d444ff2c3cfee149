"""Jobs that take too much: of the disk, the quota, memory or time."""

from __future__ import annotations

import errno
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from backend.context import Services
from backend.files import Workspaces
from tests.backend.jobs.bench import Bench, Slow, process_of


def test_a_full_disk_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench.services.results, "publish", full)
    job = bench.work(process_of("number"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "StorageFailure")
    assert bench.files() == []


def test_too_large_a_result_is_refused_before_it_is_computed(services: Services, tmp_path: Path) -> None:
    """Of formats that are put together in memory; others write what is read from a file."""
    bench = Bench(services, tmp_path, job_result_bytes=100)
    job = bench.work(process_of("save", format="JSON"))
    assert job.state.status == "error"
    assert "as JSON" in bench.log(job, "error")[0]
    assert "a batch job may have 100 bytes (OPENEO_EMBED_JOB_RESULT_BYTES)" in bench.log(job, "error")[0]
    assert services.cluster.asked == []  # type: ignore[attr-defined]
    assert bench.work(process_of("save", format="GTiff")).state.status == "finished"


def test_results_count_for_the_quota(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, files=Workspaces(tmp_path / "files", 10_000, quota=10)), tmp_path)
    job = bench.work(process_of("save", format="GTiff"))
    assert (job.state.status, bench.files()) == ("error", [])
    assert bench.services.jobs.entries(job.id, "error")[0].code == "StorageQuotaExceeded"


def test_a_user_without_room_is_told_before_anything_is_computed(services: Services, tmp_path: Path) -> None:
    files = Workspaces(tmp_path / "files", 10_000, quota=10)
    files.write("anna", "all.bin", BytesIO(bytes(10)))
    bench = Bench(replace(services, files=files), tmp_path)
    job = bench.work(process_of("save", format="GTiff"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "StorageQuotaExceeded")
    assert "of your 10 bytes 10 are taken" in entry.message
    assert services.cluster.asked == []  # type: ignore[attr-defined]


def test_a_result_that_fits_only_if_it_packs_well_is_computed_and_warned_of(services: Services, tmp_path: Path) -> None:
    """A mask takes a hundredth of its bytes: nobody knows before it is written."""
    bench = Bench(replace(services, files=Workspaces(tmp_path / "files", 10_000, quota=20_000)), tmp_path)
    job = bench.work(process_of("save", format="GTiff", size=100))
    assert job.state.status == "finished"
    (warning,) = bench.log(job, "warning")
    assert "you have room for 20000" in warning


def test_a_job_that_takes_too_long_fails(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Slow()), tmp_path, job_seconds=1)
    job = bench.work(process_of("load"))
    assert job.state.status == "error"
    assert bench.services.jobs.entries(job.id, "error")[0].code == "RequestTimeout"


def test_a_job_whose_runner_outgrows_its_memory_fails(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Slow()), tmp_path)
    bench.worker._settings = replace(bench.worker._settings, job_memory_bytes=2**20)
    job = bench.work(process_of("load"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "ProcessGraphComplexity")
    assert "may have 1 MiB (OPENEO_EMBED_JOB_MEMORY_BYTES)" in entry.message
