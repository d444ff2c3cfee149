"""Users' code in the real sandbox, as tasks run it."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from backend.sync.cluster import DaskCluster
from backend.sync.request import SyncRequest
from models.engine.dense.native.build import library
from processes.udf.failures import code_failure
from tests.backend.clusters import one_worker
from tests.backend.server import until
from udf import isolation
from udf.isolation import SETTINGS
from udf.rules import UserCodeRules
from udf.sandbox import Sandbox, offered
from udf.sandbox.offer import LEVELS
from udf.user_code import Expected, Given, UserCode, UserCodeError, UserCodeLimit, ask, run_on_blocks

pytestmark = pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")

RULES = UserCodeRules(memory=512 * 2**20, cpu_seconds=20, wall_seconds=60)
GIVEN = Given(("t", "x"), {"x": xr.Variable("x", np.arange(6) * 10.0)})
VALUES = np.arange(12, dtype=np.float32).reshape(2, 6)
HEAD = "def apply_datacube(cube, context):\n"


def code(body: str, rules: UserCodeRules = RULES, head: str = "") -> UserCode:
    return UserCode(head + HEAD + f"    {body}\n", {}, rules, "topic")


def test_blocks_have_their_own_coordinates() -> None:
    values = da.from_array(VALUES, chunks=(2, 3))
    expected = Expected(("x",), np.dtype(np.float32))
    made = run_on_blocks(values, code("return cube.sum('t') + cube.x"), GIVEN, expected)
    assert made.chunks == ((3, 3),)
    (result,) = dask.compute(made, scheduler="sync")
    np.testing.assert_array_equal(result, VALUES.sum(0) + np.arange(6) * 10)


def test_nothing_is_kept_between_calls() -> None:
    counting = code(
        "COUNT.append(1); np.COUNT = getattr(np, 'COUNT', 0) + 1; return cube * 0 + len(COUNT) + np.COUNT",
        head="import numpy as np\nCOUNT = []\n",
    )
    for _ in range(2):
        cube = ask(counting, GIVEN, VALUES, print).cube
        assert cube is not None
        assert np.unique(cube.values).tolist() == [2]


def test_messages_come_before_the_answer() -> None:
    said: list[dict[str, Any]] = []
    ask(code("inspect({'n': 1}, 'look', level='error'); return cube"), GIVEN, VALUES, said.append)
    assert said == [{"level": "error", "code": "User", "message": "look", "data": {"n": 1}}]


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("cube.values = [bytearray(10**8) for _ in range(100)]", RULES),
        ("while True: pass", UserCodeRules(memory=2**29, cpu_seconds=1, wall_seconds=30)),
        ("import time; time.sleep(30)", UserCodeRules(memory=2**29, cpu_seconds=10, wall_seconds=1)),
        ("import ctypes; ctypes.string_at(0)", RULES),
    ],
    ids=["memory", "processor", "time", "crash"],
)
def test_limits(body: str, rules: UserCodeRules) -> None:
    with pytest.raises(UserCodeLimit) as stopped:
        ask(code(body, rules), GIVEN, VALUES, print)
    failure = code_failure(stopped.value)
    assert failure is not None
    assert failure.code == "ProcessGraphComplexity"
    if stopped.value.kind != "crashed":
        assert SETTINGS[stopped.value.kind] in failure.message
    back = pickle.loads(pickle.dumps(stopped.value))  # noqa: S301
    assert (back.message, back.kind) == (stopped.value.message, stopped.value.kind)
    assert ask(code("return cube"), GIVEN, VALUES, print).cube is not None  # the next call is unharmed


def test_what_the_handler_itself_raises_has_its_traceback() -> None:
    with pytest.raises(UserCodeError, match="KeyboardInterrupt") as failed:
        ask(code("raise KeyboardInterrupt('by hand')"), GIVEN, VALUES, print)
    assert "by hand" in failed.value.trace.splitlines()[-1]


@pytest.mark.parametrize("level", [level for level in LEVELS if level in offered().levels])
def test_models_run_in_the_sandbox_with_the_kernels_of_the_worker(
    level: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[Sandbox] = []

    def open_one(code: UserCode, folders: list[Path]) -> Sandbox:
        opened.append(Sandbox(isolation._limits(code), read_only=folders, level=level, preload=("torch",)))
        return opened[-1]

    monkeypatch.setattr(isolation, "open_sandbox", open_one)
    monkeypatch.setattr(isolation, "_on_worker", lambda: True)
    source = (
        "import os, openeo_embed\ndef apply_udf_data(data):\n"
        "    from models.engine.dense.native.build import library\n    made = library()\n"
        "    data.structured_data_list = [StructuredData([openeo_embed.names(), made and made._name])]\n"
    )
    compiled = library()
    rules = UserCodeRules(memory=2**30, cpu_seconds=60, wall_seconds=120, models=(tmp_path,))
    names, found = ask(UserCode(source, {}, rules, "topic"), None, [], print).value
    assert "demo" in names
    assert found == (None if compiled is None else str(Path(compiled._name).resolve()))
    for sandbox in opened:
        sandbox.close()


def test_outside_of_workers_nothing_is_compiled() -> None:
    source = "import openeo_embed\n"
    assert isolation._kernels(UserCode(source, {}, UserCodeRules(models=()), "topic")) == []
    assert isolation._kernels(UserCode(source, {}, UserCodeRules(), "topic")) == []


def test_failures_survive_the_way_from_a_worker() -> None:
    with pytest.raises(UserCodeError) as failed:
        ask(code("return undefined"), GIVEN, VALUES, print)
    back = pickle.loads(pickle.dumps(failed.value))  # noqa: S301
    assert back.message == "NameError: name 'undefined' is not defined (line 2, in apply_datacube)"
    assert 'File "udf.py", line 2' in back.trace
    failure = code_failure(back)
    assert failure is not None
    assert (failure.code, failure.status) == ("ProcessParameterInvalid", 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return cube.sum('t')", "a cube of x 6 where t 2 x x 6 was expected of one of t 2 x x 6"),
        ("return cube.astype('int64') + 2**40", "more than float32 holds exactly"),
        ("return cube.expand_dims(kind=2)", "kind 2"),
    ],
)
def test_what_is_not_as_planned(body: str, message: str) -> None:
    made = run_on_blocks(da.from_array(VALUES), code(body), GIVEN, Expected(("t", "x"), np.dtype(np.float32)))
    with pytest.raises(UserCodeError, match=message.replace("*", r"\*")):
        dask.compute(made, scheduler="sync")


def test_a_call_ends_when_its_request_is_given_up() -> None:
    """Else it would keep a worker's thread busy for as long as it may run."""
    long = code(
        "print('at work'); import time; time.sleep(600); return cube", replace(RULES, cpu_seconds=600, wall_seconds=600)
    )
    made = run_on_blocks(da.from_array(VALUES), long, GIVEN, Expected(("t", "x"), np.dtype(np.float32)))
    with one_worker() as local:
        (worker,) = local.workers.values()
        cluster = DaskCluster(local.scheduler_address)
        begun = threading.Event()

        class UntilBegun:
            def check(self) -> None:
                if begun.is_set():
                    raise TimeoutError

        with cluster.listening("topic", lambda _: begun.set()), pytest.raises(TimeoutError):
            cluster.compute(SyncRequest("given-up", "anna", {}), made, UntilBegun())
        cluster.close()
        until(lambda: not worker.state.executing_count and not worker.state.tasks)


def test_dimensions_come_back_in_any_order_and_length_one() -> None:
    body = "return cube.transpose('x', 't').expand_dims(kind=1)"
    made = run_on_blocks(da.from_array(VALUES), code(body), GIVEN, Expected(("t", "x"), np.dtype(np.float32)))
    np.testing.assert_array_equal(dask.compute(made, scheduler="sync")[0], VALUES)
