"""What is told of users' code that fails, is called wrongly or is not run at all; where it comes from."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from processes.errors import OpenEOError
from processes.fetch import FetchRules
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import cube
from tests.processes.run_udf.support import (
    CHUNKS,
    A,
    Runner,
    code,
    done,
    same,
    udf,
)
from tests.processes.site import Site, serve
from tests.udf.inline import InlineSandboxes
from udf.rules import UserCodeRules
from udf.user_code import UserCodeError


def test_failures_in_tasks_name_the_users_line(run: Runner) -> None:
    source = code("data_array", "cube / context['nothing']")
    made = run("apply", cube(A, CHUNKS), process=udf(source, "x"))
    with pytest.raises(UserCodeError, match=r"KeyError: 'nothing' \(line 4, in apply_datacube\)") as failed:
        done(made)
    assert "    return cube / context['nothing']" in failed.value.trace


def test_failures_of_a_trial_are_told_and_only_that(run: Runner) -> None:
    source = code("data_array", "cube if cube.x.size > 5 else 1 / 0")
    whole = cube(A, A.shape)
    made = run("apply_dimension", whole, dimension="bands", process=udf(source))
    same(made, whole)
    (entry,) = run.env.ledger.messages
    assert "ZeroDivisionError" in entry["message"]
    assert entry["level"] == "info"


def test_what_a_callback_must_not_return(run: Runner) -> None:
    made = run("apply", cube(A, CHUNKS), process=udf(code("data_array", "cube.max('t')"), "x"))
    with pytest.raises(UserCodeError, match="where t 2 x bands 3 x y 4 x x 5 was expected"):
        done(made)
    with pytest.raises(OpenEOError, match="only 'bands' may change"):
        run("apply_dimension", cube(A, CHUNKS), dimension="bands", process=udf(code("data_array", "cube.max('t')")))


def test_labels_that_depend_on_values(run: Runner) -> None:
    array = "cube.assign_coords(bands=[f'{float(cube.max()):.6f}{i}' for i in range(3)])"
    made = run("apply_dimension", cube(A, CHUNKS), dimension="bands", process=udf(code("data_array", array)))
    with pytest.raises(UserCodeError, match="define apply_metadata"):
        done(made)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"runtime": "R"}, "InvalidRuntime"),
        ({"version": "2.7"}, "InvalidVersion"),
        ({"udf": "code/none.py"}, "FileNotFound"),
        ({"udf": "http://10.0.0.1/a.py"}, "ProcessParameterInvalid"),
        ({"udf": "# empty\n"}, "ProcessParameterInvalid"),
        ({"udf": "def apply_datacube(cube\n"}, "ProcessParameterInvalid"),
        ({"udf": "# /// script\n# dependencies = ['tinyudf']\n# ///\n"}, "ProcessParameterInvalid"),
    ],
)
def test_wrong_arguments(run: Runner, change: Mapping[str, Any], error: str) -> None:
    arguments = {"udf": "def apply_udf_data(data):\n    pass\n", "runtime": "python", **change}
    with pytest.raises(OpenEOError) as refused:
        run("run_udf", [1], **arguments)
    assert refused.value.code == error


@pytest.mark.parametrize("version", [None, "3", ".".join(platform.python_version_tuple()[:2])])
def test_versions(run: Runner, version: str | None) -> None:
    source = code("data_array", "cube + 1")
    made = run("apply", cube(A, CHUNKS), process=udf(source, "x", version=version))
    same(made, cube(A) + 1)


@pytest.mark.parametrize("rules", [None, UserCodeRules(refused="because.")])
def test_a_server_that_runs_no_code(registry: ProcessRegistry, rules: UserCodeRules | None) -> None:
    run = Runner(registry)
    run.env = replace(run.env, udf=rules)
    with pytest.raises(OpenEOError, match="off") as refused:
        run("run_udf", [1], udf="a\n", runtime="Python")
    assert (refused.value.code, refused.value.status) == ("FeatureUnsupported", 501)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def test_code_at_a_url(registry: ProcessRegistry, sandboxes: InlineSandboxes, site: Site) -> None:
    double = site.add("/udf/double.py", code("data_array", "cube * 2").encode())
    large = site.add("/udf/large.py", b"#" * 2000)
    rules = UserCodeRules(code_bytes=1000)
    run = Runner(registry, rules, fetch=FetchRules(hosts=(f"localhost:{site.port}",)))
    made = run("apply", cube(A, CHUNKS), process=udf(double, "x"))
    same(made, cube(A) * 2)
    with pytest.raises(OpenEOError, match="more than 1000 bytes"):
        run("apply", cube(A, CHUNKS), process=udf(large, "x"))


def test_messages_of_plain_calls_are_in_the_log(run: Runner) -> None:
    source = "from openeo.udf import inspect\ndef apply_udf_data(data):\n    inspect([1], 'look', level='error')\n"
    run("run_udf", [1], udf=source, runtime="Python")
    said = {"level": "error", "code": "User", "message": "look", "data": [1]}
    assert run.env.ledger.messages == [said]
