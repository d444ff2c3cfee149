"""Evaluation of a checked graph: each node once, in order, without recursion along the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import signature
from typing import Any

from openeo_processes_dask.process_implementations.exceptions import OpenEOException

from processes.environment import Environment, Halo
from processes.errors import OpenEOError
from processes.graph.arguments import check_arguments, find_process, graph_errors
from processes.graph.callbacks import Callback
from processes.graph.check import check_graph
from processes.graph.conversion import convert
from processes.graph.flat import FlatGraph
from processes.graph.halo import halo_wanted, is_transparent
from processes.graph.package import ParameterReference, Process, ProcessNode, ProcessRegistry, ResultReference
from processes.graph.pixels import PerPixel, call_on_pixels, has_pixels
from processes.graph.references import referenced_nodes, replace
from processes.graph.schema import callback_parameters, takes_array
from processes.graph.surroundings import Surroundings

# How many nodes one evaluation may run: stored processes that call each other many times grow without limit.
BUDGET = 200_000


def evaluate(graph: FlatGraph, registry: ProcessRegistry, env: Environment) -> Any:
    """Return the value of the graph's result node.

    Only the result node and what it depends on are evaluated, each node once. Cubes in the value are lazy.

    Parameters
    ----------
    graph : FlatGraph
        What `check_graph` returned.
    registry : ProcessRegistry
        Namespaces ``predefined`` and, for stored processes (specifications with a ``process_graph`` and no
        implementation), any other.
    env : Environment
        Its `parameters` are those of the graph.

    Raises
    ------
    OpenEOError
        Before anything is evaluated: ProcessUnsupported, ProcessParameterRequired, -Unsupported and -Invalid,
        ProcessGraphInvalid. Later: whatever a process raises.
    """
    parameters = {**graph.defaults(), **env.parameters}
    known = frozenset(parameters) | {str(parameter["name"]) for parameter in graph.parameters}
    for error in graph_errors(graph, registry, known):
        raise error
    value = _Evaluator(registry).run(_Call(graph, parameters, env))
    return value.variable.values.tolist() if isinstance(value, PerPixel) else value


@dataclass
class _Call:
    """One evaluation of one graph; `stack` are the stored processes that it is part of."""

    graph: FlatGraph
    parameters: Mapping[str, Any]
    env: Environment
    stack: tuple[tuple[str, str], ...] = ()
    is_callback: bool = False
    values: dict[tuple[str, Halo | None], Any] = field(default_factory=dict)


class _Evaluator:
    """Evaluates graphs with the processes of one registry."""

    def __init__(self, registry: ProcessRegistry) -> None:
        self._registry = registry
        self._stored: dict[tuple[str, str], FlatGraph] = {}
        self._left = BUDGET

    def run(self, call: _Call) -> Any:
        """Return the value of a graph's result node."""
        self._fill(call, call.graph.order, None)
        return call.values[call.graph.result, None]

    def _fill(self, call: _Call, nodes: Iterable[str], halo: Halo | None) -> None:
        """Evaluate nodes that stand in an order in which they can be, with loads that reach further by `halo`."""
        for key in nodes:
            if (key, halo) not in call.values:
                self._spend()
                call.env.stop()
                value = call.values[key, halo] = self._node(call, key, halo)
                if not call.stack and not call.is_callback:  # what is within counts for the process that it is part of
                    call.env.ledger.trace(call.graph.nodes[key].process_id, value, key)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            message = f"The process graph runs more than {BUDGET} nodes, callbacks and stored processes included."
            raise OpenEOError("ProcessGraphComplexity", f"{message} Split it into several jobs.")

    def _node(self, call: _Call, key: str, halo: Halo | None) -> Any:
        node = call.graph.nodes[key]
        namespace, process = find_process(self._registry, node)
        with _located(node, key):
            arguments = self._resolve(call, node, process, halo)
            check_arguments(node.process_id, process.spec, arguments)
            if process.implementation is None:
                return self._run_stored((namespace, node.process_id), process, arguments, call)
            env = call.env.with_halo(halo)
            wide = None if call.is_callback or halo else self._wide(call, node, process, arguments)
            return _invoke(process, node.process_id, arguments, env, wide)

    def _resolve(self, call: _Call, node: ProcessNode, process: Process, halo: Halo | None) -> dict[str, Any]:
        """Return the arguments with values for references and `Callback`s for graphs."""
        schemas = {parameter["name"]: parameter.get("schema", {}) for parameter in process.spec.get("parameters", [])}

        def resolve(name: str, leaf: Any) -> Any:
            if isinstance(leaf, ResultReference):
                return call.values[leaf.from_node, halo]
            if isinstance(leaf, ParameterReference):
                return _parameter(call.parameters, leaf.from_parameter)
            return self._callback(leaf, callback_parameters(schemas.get(name, {})), call)

        return {name: replace(value, partial(resolve, name)) for name, value in node.arguments.items()}

    def _callback(self, graph: FlatGraph, names: tuple[str, ...], call: _Call) -> Callback:
        def run(graph: FlatGraph, parameters: Mapping[str, Any], around: Surroundings | None) -> Any:
            env = call.env.with_halo(None).within(around)
            return self.run(_Call(graph, parameters, env, call.stack, is_callback=True))

        return Callback(graph, names, call.parameters, run)

    def _run_stored(self, key: tuple[str, str], process: Process, arguments: dict[str, Any], call: _Call) -> Any:
        """Evaluate a stored process, which sees its own parameters and nothing of what is around it."""
        if key in call.stack:
            raise OpenEOError("ProcessGraphInvalid", f"The stored process '{key[1]}' calls itself; break the circle.")
        if key not in self._stored:
            self._stored[key] = _stored_graph(process, self._registry)
        graph = self._stored[key]
        parameters = {**graph.defaults(), **arguments}
        inside = call.env.with_halo(None)
        return self.run(_Call(graph, parameters, inside, (*call.stack, key), call.is_callback))

    def _wide(
        self, call: _Call, node: ProcessNode, process: Process, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the cubes with what lies round them, where there is a way; None for processes that do not look."""
        halo = halo_wanted(process.implementation, arguments, call.env)
        if halo is None:
            return None
        names = [name for name in process.implementation.halo_of if name in arguments]
        return {name: self._widened(call, node, name, halo, arguments[name]) for name in names}

    def _widened(self, call: _Call, node: ProcessNode, name: str, halo: Halo, narrow: Any) -> Any:
        raw = node.arguments[name]
        ancestors = call.graph.ancestors(referenced_nodes(raw))
        nodes = call.graph.nodes
        if not ancestors or not all(is_transparent(nodes[a].process_id, nodes[a].arguments) for a in ancestors):
            return narrow
        self._fill(call, ancestors, halo)

        def resolve(leaf: Any) -> Any:
            if isinstance(leaf, ResultReference):
                return call.values[leaf.from_node, halo]
            return _parameter(call.parameters, leaf.from_parameter) if isinstance(leaf, ParameterReference) else leaf

        return replace(raw, resolve)


def _parameter(parameters: Mapping[str, Any], name: str) -> Any:
    try:
        return parameters[name]
    except KeyError:
        message = f"The parameter '{name}' of the process has neither a value nor a default; give it a value."
        raise OpenEOError("ProcessParameterRequired", message) from None


def _stored_graph(process: Process, registry: ProcessRegistry) -> FlatGraph:
    """Return the checked graph of a stored process."""
    graph = check_graph(process.spec)
    for error in graph_errors(graph, registry, frozenset(str(parameter["name"]) for parameter in graph.parameters)):
        raise error
    return graph


def _invoke(
    process: Process, name: str, arguments: Mapping[str, Any], env: Environment, wide: Mapping[str, Any] | None
) -> Any:
    """Call the implementation of a process."""
    implementation = process.implementation
    accepted = _keywords(implementation)
    schemas = {parameter["name"]: parameter.get("schema", {}) for parameter in process.spec.get("parameters", [])}
    given = {key: convert(schemas[key], value, key, name) for key, value in arguments.items()}
    given.update({"env": env} if "env" in accepted else {})
    given.update({"wide": wide} if wide and "wide" in accepted else {})
    takes_pixels = getattr(implementation, "takes_pixels", False)
    if takes_pixels or not any(has_pixels(value) for value in given.values()):
        return implementation(**given)
    arrays = frozenset(key for key, schema in schemas.items() if takes_array(schema))
    return call_on_pixels(implementation, given, arrays, accepted)


@cache
def _keywords(implementation: Any) -> frozenset[str]:
    return frozenset(signature(implementation).parameters)


@contextmanager
def _located(node: ProcessNode, key: str) -> Iterator[None]:
    """Tell in every error which process and node raised it; those of openeo-processes-dask become ours."""
    where = f"(process '{node.process_id}', node '{key}')"
    try:
        yield
    except OpenEOError as error:
        if "node '" in error.message:
            raise
        raise OpenEOError(error.code, f"{error.message} {where}", error.status) from error
    except OpenEOException as error:
        if type(error) is OpenEOException:
            error.add_note(where)
            raise
        raise OpenEOError(type(error).__name__, f"{error} {where}") from error
    except Exception as error:
        error.add_note(where)
        raise
