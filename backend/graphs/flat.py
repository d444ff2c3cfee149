"""Process graphs as plain JSON: in which order nodes depend on each other, what they name, one node by itself.

Looks at whatever a client has sent: nodes that are not well-formed are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Names:
    """What a node names, its callbacks included."""

    processes: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)


def order_of(graph: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the nodes that can be evaluated, each with and after those that it refers to."""
    needs = {key: tuple(_references(node["arguments"])) for key, node in graph.items() if _is_node(node)}
    waiting = {key: set(found) for key, found in needs.items()}
    users: dict[str, list[str]] = {}
    for key, found in waiting.items():
        for need in found:
            users.setdefault(need, []).append(key)
    ready = deque(key for key, found in waiting.items() if not found)
    ordered = []
    while ready:
        key = ready.popleft()
        ordered.append((key, needs[key]))
        for user in users.get(key, ()):
            waiting[user].discard(key)
            if not waiting[user]:
                ready.append(user)
    return ordered


def names_in(node: Mapping[str, Any]) -> Names:
    """Return the processes and parameters that a node names, at any depth."""
    names = Names()
    waiting: list[Any] = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
            if isinstance(item.get("process_id"), str):
                names.processes.add(item["process_id"])
            if len(item) == 1 and isinstance(item.get("from_parameter"), str):
                names.parameters.add(item["from_parameter"])
    return names


def with_parameters(
    key: str, node: Mapping[str, Any], needs: tuple[str, ...], declared: list[Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a process of one node, in which parameters stand for the nodes that it refers to.

    Returns
    -------
    process : dict
    names : dict of str to str
        The parameter that stands for each node.
    """
    names = {need: f"node '{need}'" for need in needs}
    arguments = _replaced(node["arguments"], names)
    graph = {key: {**node, "arguments": arguments, "result": True}}
    added = [{"name": name, "description": "A node's value.", "schema": {}} for name in names.values()]
    return {"process_graph": graph, "parameters": [*declared, *added]}, names


def with_ancestors(key: str, graph: Mapping[str, Any], declared: list[Any]) -> dict[str, Any]:
    """Return a process whose result is one node of a graph, with all nodes that it needs."""
    needs = dict(order_of(graph))
    wanted, waiting = {key}, [key]
    while waiting:
        new = set(needs[waiting.pop()]) - wanted
        wanted |= new
        waiting.extend(new)
    nodes = {name: {**graph[name], "result": name == key} for name in graph if name in wanted}
    return {"process_graph": nodes, "parameters": declared}


def _is_node(node: Any) -> bool:
    return (
        isinstance(node, dict) and isinstance(node.get("process_id"), str) and isinstance(node.get("arguments"), dict)
    )


def _references(arguments: Any) -> Iterator[str]:
    """Yield the nodes that arguments refer to; those within callbacks refer to nodes of the callback."""
    waiting = [arguments]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict) and "process_graph" not in item:
            if len(item) == 1 and isinstance(item.get("from_node"), str):
                yield item["from_node"]
            waiting.extend(item.values())


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    if not isinstance(value, dict) or "process_graph" in value:
        return value
    if len(value) == 1 and isinstance(value.get("from_node"), str):
        return {"from_parameter": names[value["from_node"]]}
    return {key: _replaced(item, names) for key, item in value.items()}
