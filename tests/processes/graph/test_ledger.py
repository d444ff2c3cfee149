"""What an evaluation writes down: messages up to a limit, and who made which part of the graph; how it is stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import pytest
import xarray as xr

from processes.environment import LONGEST_MESSAGE, MOST_MESSAGES, Ledger
from processes.errors import OpenEOError
from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.registry import build_registry
from tests.processes.graph.graphs import callback, environment, flat, node, of, param


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def _inspecting(count: int) -> dict[str, Any]:
    """A graph that inspects each of so many numbers, in a callback."""
    each = callback(look=node("inspect", data=param("x"), message="each"), sum=node("add", x=of("look"), y=1))
    return flat(apply=node("array_apply", data=list(range(count)), process=each))


def test_what_callbacks_say_has_an_end(registry: ProcessRegistry) -> None:
    env = environment()
    ledger = Ledger()
    for _ in range(MOST_MESSAGES + 500):
        ledger.say({"level": "info", "message": "m" * (LONGEST_MESSAGE + 1)})
    assert len(ledger.messages) == MOST_MESSAGES + 1
    assert ledger.messages[-1]["level"] == "warning"
    assert "left out" in ledger.messages[-1]["message"]
    assert {len(entry["message"]) for entry in ledger.messages[:-1]} == {LONGEST_MESSAGE}
    env = replace(env, ledger=Ledger(said=MOST_MESSAGES))
    assert len(evaluate(check_graph(_inspecting(50)), registry, env)) == 50
    assert len(env.ledger.messages) <= 1


def test_the_limit_holds_after_messages_were_passed_on() -> None:
    ledger = Ledger()
    for _ in range(3):
        for _ in range(MOST_MESSAGES // 2):
            ledger.say({"level": "info", "message": "m"})
        told, ledger.messages[:] = list(ledger.messages), []
    assert len(told) == 1


def test_each_part_of_the_graph_is_the_process_that_made_it(registry: ProcessRegistry) -> None:
    cube = xr.DataArray(da.ones((4, 3), chunks=2), dims=("t", "x"))
    graph = flat(
        double=node("apply", data=param("data"), process=callback(m=node("multiply", x=param("x"), y=2))),
        mean=node(
            "reduce_dimension", data=of("double"), dimension="t", reducer=callback(m=node("mean", data=param("data")))
        ),
    )
    env = environment(data=cube)
    value = evaluate(check_graph(graph), registry, env)
    made_by = env.ledger.made_by
    assert set(made_by.values()) == {"apply", "reduce_dimension"}
    assert made_by[value.data.name.rsplit("-", 1)[-1]] == "reduce_dimension"


def test_an_evaluation_is_stopped_between_nodes(registry: ProcessRegistry) -> None:
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise OpenEOError("RequestTimeout", "Time is up.")

    chain = {f"n{i}": node("add", x=of(f"n{i - 1}") if i else 1, y=1) for i in range(10)}
    with pytest.raises(OpenEOError, match="Time is up"):
        evaluate(check_graph(flat(**chain)), registry, replace(environment(), stop=stop))
    assert len(asked) == 3
