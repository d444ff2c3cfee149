"""How large a process graph may be, looked at without recursion and before anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from processes.errors import OpenEOError


@dataclass(frozen=True)
class GraphLimits:
    """How large a process graph may be.

    Parameters
    ----------
    size : int
        Length of the graph as JSON, in characters, roughly.
    nodes : int
        Number of nodes, those of callbacks included.
    depth : int
        Arrays and objects within each other.
    callbacks : int
        Callbacks within each other.
    """

    size: int = 5_000_000
    nodes: int = 10_000
    depth: int = 100
    callbacks: int = 8


def invalid(message: str) -> OpenEOError:
    """Return the error of a graph that is not well-formed."""
    return OpenEOError("ProcessGraphInvalid", message)


def require_size(flat: Any, limits: GraphLimits) -> None:
    """Raise when the graph is too long or nested too deep."""
    size = 0
    level = [flat]
    for _ in range(limits.depth):
        below: list[Any] = []
        for value in level:
            size += _own_size(value)
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if size > limits.size:
            raise invalid(f"The process graph is longer than {limits.size} characters; shorten it, geometries first.")
        if not below:
            return
        level = below
    raise invalid(f"The process graph nests arrays and objects more than {limits.depth} deep; flatten it.")


def _own_size(value: Any) -> int:
    """Return about how many characters a value takes in JSON, without what is inside of it."""
    if isinstance(value, str):
        return len(value) + 3
    if isinstance(value, dict):
        return sum(len(str(key)) + 4 for key in value) + 2
    return 8
