"""What is wrong with a process graph, found before anything else looks at it.

`check_graph` looks at the structure alone and returns the graph as nodes; `validate_graph` also holds it against the
processes of a registry and returns all that it finds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from processes.errors import OpenEOError
from processes.graph.arguments import graph_errors
from processes.graph.flat import FlatGraph, reached
from processes.graph.limits import GraphLimits, invalid, require_size
from processes.graph.order import find_cycle, sort_nodes
from processes.graph.package import ProcessNode, ProcessRegistry
from processes.graph.references import parse_reference, referenced_nodes

__all__ = ["GraphLimits", "check_graph", "validate_graph"]

_NOTHING = FlatGraph({}, "", (), {})


def check_graph(process: Mapping[str, Any], limits: GraphLimits | None = None) -> FlatGraph:
    """Return the checked graph of a process.

    Parameters
    ----------
    process : mapping
        A process (an object with ``process_graph``), an object with such a ``process``, or a flat process graph.
    limits : GraphLimits, optional

    Raises
    ------
    OpenEOError
        ProcessGraphMissing, ProcessGraphInvalid, ProcessInvalid: the first thing that is wrong. Whether processes and
        parameters exist is for `validate_graph` and `evaluate` to say: that takes a registry.
    """
    parser = _Parser(limits or GraphLimits())
    graph = parser.parse(process)
    if parser.errors:
        raise parser.errors[0]
    return graph


def validate_graph(
    process: Mapping[str, Any],
    registry: ProcessRegistry,
    limits: GraphLimits | None = None,
    parameters: Collection[str] = (),
) -> list[OpenEOError]:
    """Return everything that is wrong with a process, as far as it can be known without running it.

    Parameters
    ----------
    process : mapping
        As for `check_graph`.
    registry : ProcessRegistry
        The processes that nodes may name.
    limits : GraphLimits, optional
    parameters : collection of str
        Names that nodes may refer to beside the parameters that the process declares.
    """
    parser = _Parser(limits or GraphLimits())
    graph = parser.parse(process)
    known = frozenset(parameters) | {str(parameter["name"]) for parameter in graph.parameters}
    return [*parser.errors, *graph_errors(graph, registry, known)]


class _Parser:
    """Turns JSON into graphs; what is wrong is collected in `errors`, and left out of the graph."""

    def __init__(self, limits: GraphLimits) -> None:
        self.errors: list[OpenEOError] = []
        self._limits = limits
        self._left = limits.nodes

    def parse(self, process: Any) -> FlatGraph:
        """Return the graph of a process."""
        try:
            flat, declared = _unwrap(process)
            require_size(flat, self._limits)
        except OpenEOError as error:
            self.errors.append(error)
            return _NOTHING
        graph = self._graph(flat, "", 0)
        self._refuse_lost_results(graph)
        return FlatGraph(graph.nodes, graph.result, graph.order, graph.needs, declared)

    def _graph(self, flat: Any, place: str, level: int) -> FlatGraph:
        """Return the graph of one scope; `place` tells in messages which callback it is."""
        if not isinstance(flat, dict) or not flat:
            return self._refuse(f"The process graph{place} is no object with at least one node; add nodes to it.")
        enough = self._left >= 0
        self._left -= len(flat)
        if self._left < 0:
            too_many = f"The process graph has more than {self._limits.nodes} nodes; split it or leave some out."
            return self._refuse(too_many) if enough else _NOTHING
        nodes = {key: node for key, raw in flat.items() if (node := self._node(key, raw, place, level))}
        needs = {key: self._targets(key, node, nodes, flat, place) for key, node in nodes.items()}
        result = self._result(flat, place)
        order, left = sort_nodes(needs)
        if left:
            cycle = " -> ".join(f"'{key}'" for key in find_cycle(needs, left))
            self._refuse(f"The nodes {cycle}{place} refer to each other in a circle; break it.")
        wanted = reached(needs, [result] if result in nodes else [])
        return FlatGraph(nodes, result, tuple(key for key in order if key in wanted), needs)

    def _refuse_lost_results(self, graph: FlatGraph) -> None:
        """Refuse to save what does not lead to the result: only that is computed, and users would miss the rest."""
        for key, node in graph.nodes.items():
            if node.process_id == "save_result" and key not in graph.order and graph.result:
                self._refuse(
                    f"Node '{key}' saves what would not be computed: it does not lead to '{graph.result}', which is "
                    "marked as result. Mark the save_result that you want, and run a job for each further one."
                )

    def _refuse(self, message: str) -> FlatGraph:
        self.errors.append(invalid(message))
        return _NOTHING

    def _node(self, key: str, raw: Any, place: str, level: int) -> ProcessNode | None:
        """Return one node, None when it is not well-formed."""
        wrong = list(_node_errors(f"Node '{key}'{place}", raw))
        self.errors.extend(wrong)
        if wrong:
            return None
        arguments = {name: self._value(value, key, name, level) for name, value in raw["arguments"].items()}
        # Not validated by the model: it would read strings as dates wherever they stand.
        return ProcessNode.model_construct(
            process_id=raw["process_id"],
            namespace=raw.get("namespace"),
            result=raw.get("result", False),
            description=raw.get("description"),
            arguments=arguments,
        )

    def _value(self, value: Any, node: str, argument: str, level: int) -> Any:
        """Return an argument with its references and callbacks recognised; its depth has been limited before."""
        if isinstance(value, list):
            return [self._value(item, node, argument, level) for item in value]
        if not isinstance(value, dict):
            return value
        if "process_graph" in value:
            return self._callback(value["process_graph"], node, argument, level)
        reference = parse_reference(value)
        if reference is not None:
            return reference
        return {key: self._value(item, node, argument, level) for key, item in value.items()}

    def _callback(self, flat: Any, node: str, argument: str, level: int) -> FlatGraph:
        if level == self._limits.callbacks:
            return self._refuse(f"Node '{node}' nests callbacks more than {level} deep; leave out some levels.")
        return self._graph(flat, f" in the callback '{argument}' of node '{node}'", level + 1)

    def _targets(
        self, key: str, node: ProcessNode, nodes: Mapping[str, Any], flat: Mapping[str, Any], place: str
    ) -> tuple[str, ...]:
        """Return the nodes that a node refers to, those that exist."""
        targets = referenced_nodes(node.arguments)
        for target in targets:
            if target not in flat:
                self._refuse(
                    f"Node '{key}'{place} refers to the node '{target}', which is not in the same process graph. "
                    "Correct the from_node; what a callback needs from outside comes through `context`."
                )
        return tuple(target for target in targets if target in nodes)

    def _result(self, flat: Mapping[str, Any], place: str) -> str:
        """Return the id of the result node, an empty string when there is none or more than one."""
        results = [key for key, node in flat.items() if isinstance(node, dict) and node.get("result") is True]
        if len(results) == 1:
            return results[0]
        if results:
            named = ", ".join(f"'{key}'" for key in results)
            self._refuse(f"The nodes {named}{place} are all marked as result; mark only one of them.")
        else:
            self._refuse(f"No node{place} is marked as result; set `result` to true in one of them.")
        return ""


def _unwrap(process: Any) -> tuple[Any, tuple[Mapping[str, Any], ...]]:
    """Return the flat graph and the declared parameters of a process."""
    if isinstance(process, Mapping) and isinstance(process.get("process"), Mapping) and "process_id" not in process:
        inner = process["process"]
        process = inner if "process_id" not in inner else process
    if not isinstance(process, Mapping):
        raise OpenEOError("ProcessGraphMissing", "The process is not an object; pass one with a `process_graph`.")
    is_flat = process and any(isinstance(node, Mapping) and "process_id" in node for node in process.values())
    flat = process if is_flat else process.get("process_graph")
    if not flat:
        raise OpenEOError(
            "ProcessGraphMissing", "The process has no `process_graph`, or an empty one; add nodes to it."
        )
    if not isinstance(flat, Mapping):
        raise invalid("The `process_graph` is not an object; make it one whose keys are node ids.")
    return dict(flat), () if is_flat else _declared(process.get("parameters"))


def _declared(parameters: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the parameters that a process declares."""
    listed = parameters or []
    if not isinstance(listed, list) or not all(isinstance(p, dict) and isinstance(p.get("name"), str) for p in listed):
        message = "The `parameters` of the process are not an array of objects that have a `name`; correct them."
        raise OpenEOError("ProcessInvalid", message)
    return tuple(listed)


def _node_errors(name: str, raw: Any) -> Iterator[OpenEOError]:
    """Yield what is wrong with the shape of a node."""
    if not isinstance(raw, dict):
        yield invalid(f"{name} is not an object; it needs a `process_id` and `arguments`.")
        return
    if not isinstance(raw.get("process_id"), str) or not raw["process_id"]:
        yield invalid(f"{name} has no `process_id`; name the process as a string.")
    if not isinstance(raw.get("arguments"), dict):
        yield invalid(f"{name} has no `arguments`; add them as an object, an empty one if there are none.")
    if not isinstance(raw.get("namespace"), str | None):
        yield invalid(f"{name} has a `namespace` that is no string; name the namespace or leave it out.")
    if not isinstance(raw.get("result", False), bool):
        yield invalid(f"{name} has a `result` that is neither true nor false; correct it.")
