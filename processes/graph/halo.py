"""What lies round the pixels and dates that were asked for, for processes that look at their neighbours.

The implementation of such a process has two attributes: ``halo_of``, the names of its cube parameters, and ``halo``, a
function of its arguments and the environment that returns how far it looks. Its cubes are then evaluated twice: as
asked for, and with loads and filters that reach further. That is possible where everything between load and process
works pixel by pixel; what is not so (an aggregation, say) would give other values at the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from processes.environment import Environment, Halo
from processes.graph.package import ParameterReference
from processes.graph.references import leaves

BANDS = "bands"


def _always(_: Mapping[str, Any]) -> bool:
    return True


def _on_bands(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("dimension") == BANDS


def _adds_bands(arguments: Mapping[str, Any]) -> bool:
    return BANDS in (arguments.get("name"), arguments.get("type"))


# Processes whose value at a pixel and date depends on nothing else than its cubes' values there.
TRANSPARENT: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "add_dimension": _adds_bands,
    "apply": _always,
    "filter_bands": _always,
    "filter_bbox": _always,
    "filter_labels": _on_bands,
    "filter_temporal": _always,
    "load_collection": _always,
    "load_result": _always,
    "load_stac": _always,
    "mask": _always,
    "merge_cubes": _always,
    "ndvi": _always,
    "reduce_dimension": _on_bands,
    "rename_labels": _on_bands,
}


def is_transparent(process: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a process gives the same values when its cubes reach further.

    `arguments` are those of the node as they stand in the graph: cubes that come as a parameter have been loaded
    elsewhere and do not reach further.
    """
    cubes = [value for name, value in arguments.items() if name in ("data", "mask", "cube1", "cube2")]
    if any(isinstance(leaf, ParameterReference) for cube in cubes for leaf in leaves(cube)):
        return False
    return process in TRANSPARENT and TRANSPARENT[process](arguments)


def halo_wanted(implementation: Any, arguments: Mapping[str, Any], env: Environment) -> Halo | None:
    """Return how far a process looks with these arguments, None for one that does not."""
    if not getattr(implementation, "halo_of", ()):
        return None
    halo: Halo | None = implementation.halo(arguments, env)
    return halo
