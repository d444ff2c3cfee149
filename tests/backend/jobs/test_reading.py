"""Whose results a process graph may read, in which state of the job, and under which URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest

from backend.jobs import stac
from backend.jobs.model import Draft, Job
from backend.jobs.reading import ResultsOf
from backend.jobs.states import Fail
from backend.signing import Signer
from backend.sync.run import environment
from processes.environment import Ledger
from processes.errors import OpenEOError
from processes.implementations.load_result import load_result
from tests.backend.fakes import cube, graph
from tests.backend.jobs.bench import Bench

HOST = "https://openeo.example/sub/path"


@pytest.fixture
def job(bench: Bench) -> Job:
    """A finished job of anna's."""
    return bench.work(dict(graph("save", format="GTiff")["process"]))


def results(bench: Bench, user: str = "anna", signer: Signer | None = None) -> ResultsOf:
    services = bench.services
    return ResultsOf(services.jobs, services.results, signer or services.signer, user)


def fails(code: str, call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(OpenEOError) as error:
        call(*arguments)
    assert error.value.code == code
    return error.value.message


def test_a_graph_loads_what_a_job_has_computed(bench: Bench, job: Job) -> None:
    env = environment(bench.services, "anna", Ledger(), bench.services.catalog)
    found = load_result(job.id, env=env)
    assert found.chunks is not None
    np.testing.assert_array_equal(found.compute(scheduler="synchronous"), cube().compute(scheduler="synchronous"))
    assert found["t"].to_numpy().tolist() == cube()["t"].to_numpy().tolist()


def test_results_are_the_users_own(bench: Bench, job: Job) -> None:
    for user, identifier in (("ben", job.id), ("anna", "f" * 32), ("anna", f"../{job.id}")):
        assert identifier in fails("JobNotFound", results(bench, user).of, identifier)
    assert environment(bench.services, None, Ledger(), bench.services.catalog).results is None


def test_urls_of_results(bench: Bench, job: Job) -> None:
    own = results(bench)
    (name,) = job.results["assets"]  # type: ignore[index]
    for path in (stac.results_path(job), stac.results_path(job) + "/", stac.item_path(job, name)):
        found = own.at(f"{HOST}{path}")
        assert found is not None
        assert list(found.assets) == [name]
    fails("JobNotFound", own.at, f"{HOST}{stac.item_path(job, 'other.tif')}")
    for foreign in (
        f"{HOST}{stac.asset_path(job, name)}",
        f"{HOST}/jobs/{'f' * 32}/results",
        f"{HOST}/?{stac.results_path(job)}",
        f"{HOST}/jobs/{job.id}",
        f"https://[no-address{stac.results_path(job)}",
    ):
        assert own.at(foreign) is None


def test_results_of_others_need_a_signature_of_this_server(bench: Bench, job: Job) -> None:
    ben, signer = results(bench, "ben"), bench.services.signer
    path, expires = stac.results_path(job), signer.expiry()
    (name,) = job.results["assets"]  # type: ignore[index]
    item = stac.item_path(job, name)
    for right in (signer.sign(path, expires), signer.sign(item, expires)):
        found = ben.at(HOST + right)
        assert found is not None
        assert found.job == job.id
    query = signer.sign(path, expires).partition("?")[2]
    forged = Signer(b"another key", 3600).sign(path, expires)
    for wrong in (path, forged, f"{path}?expires={expires + 1}&{query.partition('&')[2]}", f"{item}?{query}"):
        assert ben.at(HOST + wrong) is None
    fails("ResultLinkExpired", ben.at, HOST + signer.sign(path, 1))
    assert results(bench).at(HOST + signer.sign(path, 1)) is not None  # anna needs none


def test_only_what_is_finished_is_read(bench: Bench) -> None:
    jobs = bench.services.jobs
    made = jobs.create("anna", Draft(dict(graph("save", format="GTiff")["process"])))
    fails("JobNotStarted", results(bench).of, made.id)
    jobs.start("anna", made.id)
    assert "queued" in fails("JobNotFinished", results(bench).of, made.id)
    claimed = jobs.claim("runner", 60.0)
    assert claimed is not None
    assert "running" in fails("JobNotFinished", results(bench).of, made.id)
    jobs.report(made.id, Fail("runner", 0.0))
    assert "its log" in fails("JobNotFinished", results(bench).of, made.id)


def test_files_that_are_gone(bench: Bench, job: Job) -> None:
    files = cloudpickle.loads(cloudpickle.dumps(results(bench).of(job.id)))
    (name,) = files.assets
    files.open(name).close()
    fails("FileNotFound", files.open, "../other.tif")
    fails("FileNotFound", files.open, "other.tif")
    bench.services.results.remove(job.id)
    fails("FileNotFound", files.open, name)
