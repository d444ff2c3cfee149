"""Trying out the nodes of a graph one by one, with lazy cubes: what one node gets wrong does not hide the others.

Each node is evaluated as a graph of its own, to which the values of the nodes that it refers to are parameters. A
node that looks at more than it is given, as an embedding looks round its pixels, is evaluated with all that it needs.
So the faults are those, and have the messages, with which the graph would fail when it runs: missing bands, dimensions
and labels, extents outside of the collection, cubes that do not fit together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from backend.context import GraphEngine
from backend.graphs.flat import names_in, order_of, with_ancestors, with_parameters
from backend.results import find_format
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.save import SaveRequest

logger = logging.getLogger("backend.validation")

SECONDS = 20.0
# These reach beyond the server's own collections, or keep something: they wait until the graph runs.
OUTWARD = {"import", "export", "udf"}
HARMLESS = {"load_collection", "save_result"}
# What is tried out for whoever has not logged in: nothing that could be made to work hard.
FOR_STRANGERS = HARMLESS | {
    "add", "add_dimension", "array_element", "divide", "drop_dimension", "filter_bands", "filter_bbox",
    "filter_temporal", "first", "last", "max", "mean", "median", "min", "multiply", "ndvi", "normalized_difference",
    "reduce_dimension", "rename_dimension", "rename_labels", "subtract", "sum",
}  # fmt: skip


class Trial:
    """Tries out the nodes of one graph.

    Parameters
    ----------
    engine : GraphEngine
        That of the user.
    env : Environment
        That of the user.
    parameters : list
        The parameters that the process declares; those without a default have no value yet.
    is_stranger : bool
        Whether the user has not logged in.
    """

    def __init__(self, engine: GraphEngine, env: Environment, parameters: list[Any], is_stranger: bool) -> None:
        self._engine = engine
        self._env = env
        self._parameters = {p["name"]: p for p in parameters if isinstance(p, dict) and isinstance(p.get("name"), str)}
        self._is_stranger = is_stranger
        self._values: dict[str, Any] = {}
        self._end = time.monotonic() + SECONDS

    def faults(self, graph: Mapping[str, Any]) -> Iterator[tuple[str, OpenEOError]]:
        """Yield each node that fails, with its error; those that depend on a faulty or unknown one are left out."""
        self._end = time.monotonic() + SECONDS
        for key, needs in order_of(graph):
            if time.monotonic() > self._end:
                logger.info("a validation took too long; the rest of the graph was not tried out")
                return
            if all(need in self._values for need in needs) and self._is_tried(graph[key]):
                fault = self._try(key, graph, needs)
                if fault is not None:
                    yield key, fault

    def _is_tried(self, node: Mapping[str, Any]) -> bool:
        names = names_in(node)
        if self._is_stranger and not names.processes <= FOR_STRANGERS:
            return False
        if any(OUTWARD & self._engine.categories(name) for name in names.processes - HARMLESS):
            return False
        known = {name for name, parameter in self._parameters.items() if "default" in parameter}
        return names.parameters & self._parameters.keys() <= known

    def _try(self, key: str, graph: Mapping[str, Any], needs: tuple[str, ...]) -> OpenEOError | None:
        """Evaluate one node and keep its value; return why it has none."""
        declared = list(self._parameters.values())
        if any(self._engine.looks_around(name) for name in names_in(graph[key]).processes):
            process, values = with_ancestors(key, graph, declared), {}
        else:
            process, names = with_parameters(key, graph[key], needs, declared)
            values = {name: self._values[need] for need, name in names.items()}
        env = replace(self._env, parameters=values, stop=self._stop)
        try:
            value = self._engine.evaluate(self._engine.check(process), env)
            if isinstance(value, SaveRequest):
                find_format(value.format).check(value.data, value.options)
            self._values[key] = value
        except OpenEOError as error:
            return error
        except _TimeUp:
            logger.info("node '%s' took too long to be tried out", key)
        except Exception:
            logger.info("node '%s' failed while it was tried out", key, exc_info=True)
        return None

    def _stop(self) -> None:
        if time.monotonic() > self._end:
            raise _TimeUp


class _TimeUp(Exception):
    """The time for trying out a graph is over."""
