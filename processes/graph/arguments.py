"""A graph held against the processes of a registry: do they exist, and can they take what they are given?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from processes.errors import OpenEOError
from processes.graph.conversion import parameter_invalid
from processes.graph.flat import FlatGraph
from processes.graph.package import ParameterReference, Process, ProcessNode, ProcessRegistry
from processes.graph.references import leaves
from processes.graph.schema import callback_parameters, mismatch

PREDEFINED, USER = "predefined", "user"
# What a node may say, and where it is then looked for, in this order.
_NAMESPACES = {None: (PREDEFINED, USER), "backend": (PREDEFINED,)}


def find_process(registry: ProcessRegistry, node: ProcessNode) -> tuple[str, Process]:
    """Return the namespace and the process that a node names.

    Raises
    ------
    OpenEOError
        ProcessUnsupported, with the ids that are spelt alike.
    """
    namespaces = _NAMESPACES.get(node.namespace, (node.namespace,))
    for namespace in namespaces:
        process = registry.store.get(namespace, {}).get(node.process_id)
        if process is not None:
            return namespace, process
    named = "'" + "' or '".join(node.namespace or name for name in namespaces) + "'"
    known = [name for namespace in namespaces for name in registry.store.get(namespace, {})]
    close = get_close_matches(node.process_id, known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(close)}?" if close else " The processes that exist are listed at /processes."
    message = f"Process with identifier '{node.process_id}' is not available in namespace {named}.{hint}"
    raise OpenEOError("ProcessUnsupported", message)


def graph_errors(graph: FlatGraph, registry: ProcessRegistry, known: frozenset[str]) -> Iterator[OpenEOError]:
    """Yield what the registry's specifications say is wrong with a graph, callbacks included.

    Parameters
    ----------
    graph : FlatGraph
    registry : ProcessRegistry
    known : frozenset of str
        The names of the parameters that the graph's nodes may refer to.
    """
    for key, node in graph.nodes.items():
        for leaf in leaves(node.arguments):
            if isinstance(leaf, ParameterReference) and leaf.from_parameter not in known:
                yield _unknown_reference(key, leaf.from_parameter, known)
        try:
            _, process = find_process(registry, node)
        except OpenEOError as unknown:
            yield OpenEOError(unknown.code, f"{unknown.message} (node '{key}')")
            continue
        for error in _argument_errors(node.process_id, process.spec, node.arguments):
            yield OpenEOError(error.code, f"{error.message} (node '{key}')")
        yield from _callback_errors(node.arguments, process.spec, registry, known)


def check_arguments(process: str, spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Raise the first thing that is wrong with the arguments of one process, references resolved or not."""
    for error in _argument_errors(process, spec, arguments):
        raise error


def _argument_errors(process: str, spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[OpenEOError]:
    parameters = {parameter["name"]: parameter for parameter in spec.get("parameters", [])}
    for name in arguments:
        if name not in parameters:
            close = get_close_matches(name, parameters, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"It has {', '.join(parameters) or 'no parameters'}."
            message = f"Process '{process}' does not support parameter '{name}'. {hint}"
            yield OpenEOError("ProcessParameterUnsupported", message)
    for name, parameter in parameters.items():
        if name not in arguments:
            if not parameter.get("optional"):
                message = f"Process '{process}' parameter '{name}' is required; add it to the arguments."
                yield OpenEOError("ProcessParameterRequired", message)
        elif arguments[name] is not None or "default" not in parameter or parameter["default"] is not None:
            reason = mismatch(parameter.get("schema", {}), arguments[name])
            if reason:
                yield parameter_invalid(process, name, reason)


def _callback_errors(
    arguments: Mapping[str, Any], spec: Mapping[str, Any], registry: ProcessRegistry, known: frozenset[str]
) -> Iterator[OpenEOError]:
    schemas = {parameter["name"]: parameter.get("schema", {}) for parameter in spec.get("parameters", [])}
    for name, value in arguments.items():
        names = known | set(callback_parameters(schemas.get(name, {})))
        for leaf in leaves(value):
            if isinstance(leaf, FlatGraph):
                yield from graph_errors(leaf, registry, names)


def _unknown_reference(node: str, name: str, known: frozenset[str]) -> OpenEOError:
    there = f"known are {', '.join(sorted(known))}" if known else "there are none here"
    message = f"Node '{node}' refers to the parameter '{name}', which does not exist; {there}. Correct from_parameter."
    return OpenEOError("ProcessGraphInvalid", message)
