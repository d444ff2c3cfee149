"""References inside arguments: found and replaced at any depth of arrays and objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from processes.graph.flat import FlatGraph
from processes.graph.package import ParameterReference, ResultReference


def parse_reference(value: dict[str, Any]) -> ResultReference | ParameterReference | None:
    """Return the reference that a JSON object is, None for any other object."""
    if len(value) != 1:
        return None
    (key, target), *_ = value.items()
    if not isinstance(target, str):
        return None
    if key == "from_node":
        # The node itself stays out of the reference: a chain of 5000 nodes would nest as deep.
        return ResultReference.model_construct(from_node=target)
    return ParameterReference.model_construct(from_parameter=target) if key == "from_parameter" else None


def leaves(value: Any) -> Iterator[Any]:
    """Yield everything in `value` that is neither array nor object: constants, references, callbacks."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        else:
            yield item


def referenced_nodes(value: Any) -> tuple[str, ...]:
    """Return the ids of the nodes that `value` refers to, each once; those inside of callbacks are none of them."""
    return tuple(dict.fromkeys(leaf.from_node for leaf in leaves(value) if isinstance(leaf, ResultReference)))


def replace(value: Any, resolve: Callable[[Any], Any]) -> Any:
    """Return `value` with every reference and callback replaced by what `resolve` returns for it."""
    if isinstance(value, dict):
        return {key: replace(item, resolve) for key, item in value.items()}
    if isinstance(value, list):
        return [replace(item, resolve) for item in value]
    if isinstance(value, ResultReference | ParameterReference | FlatGraph):
        return resolve(value)
    return value
