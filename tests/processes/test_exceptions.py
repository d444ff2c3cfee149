"""Each exception that a specification lists is raised, with its code and a message that names process and node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import pytest

from backend.results import find_format
from processes.errors import OpenEOError
from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.machine_learning.models import FittedModel
from processes.registry import build_registry
from processes.save import SaveRequest
from tests.processes.exceptions import CASES, ELSEWHERE, NEVER, Case
from tests.processes.graph.graphs import environment, param
from tests.processes.site import Site, serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def test_every_listed_exception_is_raised_by_a_test_or_has_a_reason(registry: ProcessRegistry) -> None:
    processes = registry["predefined", None].values()
    listed = {(process.spec["id"], code) for process in processes for code in process.spec.get("exceptions") or {}}
    known = [*CASES, *ELSEWHERE, *NEVER]
    assert len(known) == len(set(known))
    assert listed == set(known)
    for (_, code), path in ELSEWHERE.items():
        assert f'"{code}"' in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(("process", "code"), list(CASES), ids=[" ".join(key) for key in CASES])
def test_a_listed_exception(process: str, code: str, registry: ProcessRegistry, site: Site, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError) as error:
        run(registry, process, CASES[process, code], site, tmp_path)
    assert error.value.code == code
    assert process == "save_result" or f"'{process}'" in error.value.message
    assert (process, code) in AT_THE_END or "node 'call'" in error.value.message


# These show when the graph has been built: its nodes are no more then.
AT_THE_END = {
    ("ml_fit_class_random_forest", "NoDataAvailable"),
    ("ml_fit_kmeans", "NoDataAvailable"),
    ("ml_fit_regr_random_forest", "NoDataAvailable"),
    ("save_result", "DataCubeEmpty"),
    ("save_result", "FormatUnsuitable"),
}


def run(registry: ProcessRegistry, process: str, case: Case, site: Site, folder: Path) -> None:
    """Evaluate a case as far as its value is told to be wrong: formats are checked, models fitted."""
    fields, parameters = case.env(folder, site), {}

    def as_json(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_json(one) for key, one in value.items()}
        if isinstance(value, list):
            return [as_json(one) for one in value]
        if value is None or isinstance(value, bool | int | float | str):
            return site.url(value) if isinstance(value, str) and value.startswith("/") else value
        parameters[f"p{len(parameters)}"] = value
        return param(f"p{len(parameters) - 1}")

    call = {"process_id": process, "arguments": as_json(dict(case.arguments)), "result": True}
    graph = check_graph({**as_json(dict(case.before)), "call": call})
    value = evaluate(graph, registry, replace(environment(**parameters), **fields))
    if isinstance(value, SaveRequest):
        find_format(value.format).check(value.data, value.options)
    if isinstance(value, FittedModel):
        dask.compute(value.estimator, scheduler="synchronous")
