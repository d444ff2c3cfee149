"""A process graph that has been checked: what the evaluator works on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from processes.graph.package import ProcessNode


@dataclass(frozen=True, repr=False)
class FlatGraph:
    """Nodes by id, as the parser package's `ProcessNode`s, whose references and callbacks have been recognised.

    Parameters
    ----------
    nodes : mapping of str to ProcessNode
        Their arguments hold `ResultReference`, `ParameterReference` and, for callbacks, `FlatGraph` objects at any
        depth; everything else in them is plain JSON, strings included.
    result : str
        The id of the result node.
    order : tuple of str
        The result node and all that it depends on, each after those that it refers to. Other nodes are checked but
        never evaluated, whatever side effects their processes may have.
    needs : mapping of str to tuple of str
        The nodes that each node refers to.
    parameters : tuple of mapping
        The parameters that the process declares, as in a stored process.
    """

    nodes: Mapping[str, ProcessNode]
    result: str
    order: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]]
    parameters: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"FlatGraph({len(self.nodes)} nodes, result '{self.result}')"

    def ancestors(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Return `nodes` and all that they depend on, in the order of evaluation."""
        found = reached(self.needs, nodes)
        return tuple(node for node in self.order if node in found)

    def defaults(self) -> dict[str, Any]:
        """Return the values of the declared parameters that need not be given."""
        return {
            str(parameter["name"]): parameter.get("default")
            for parameter in self.parameters
            if parameter.get("optional") or "default" in parameter
        }


def reached(needs: Mapping[str, tuple[str, ...]], nodes: Iterable[str]) -> set[str]:
    """Return `nodes` and all that they depend on."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(needs[node])
    return found
