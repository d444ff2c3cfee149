"""All faults of a process: first what its text says, then what its nodes say when each is tried out by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backend.results import find_format
from backend.sync.run import environment
from backend.validation.trial import Trial
from processes.environment import Ledger
from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.context import Services


def find_faults(services: Services, process: Mapping[str, Any], user: str | None) -> list[OpenEOError]:
    """Return everything that is wrong with a process, each fault once; nothing is computed.

    Parameters
    ----------
    services : Services
    process : mapping
        With an object `process_graph`.
    user : str or None
        Who asks. Whoever has not logged in has no stored processes, and fewer kinds of nodes are tried out.
    """
    engine = services.graphs.of(user)
    graph = process["process_graph"]
    found = [*engine.validate(process), *_format_faults(graph)]
    # A fault of the text shows again when its node is tried out.
    known = {(fault.code, fault.message) for fault in found}
    env = environment(services, user, Ledger(), services.catalog)
    trial = Trial(engine, env, list(process.get("parameters") or []), is_stranger=user is None)
    tried = [_located(key, fault) for key, fault in trial.faults(graph) if (fault.code, fault.message) not in known]
    return list({(fault.code, fault.message): fault for fault in [*found, *tried]}.values())


def _located(key: str, fault: OpenEOError) -> OpenEOError:
    """Name the node, where the message does not: what fails in a callback names the callback's node."""
    if f"node '{key}'" in fault.message:
        return fault
    return OpenEOError(fault.code, f"{fault.message} (in node '{key}')", fault.status)


def _format_faults(graph: Mapping[str, Any]) -> Iterator[OpenEOError]:
    """Find the formats that `save_result` would refuse: only this package knows which there are."""
    for node in graph.values():
        saves = isinstance(node, dict) and node.get("process_id") == "save_result"
        arguments = node.get("arguments") if saves else None
        name = arguments.get("format") if isinstance(arguments, dict) else None
        if isinstance(name, str):
            try:
                find_format(name)
            except OpenEOError as error:
                yield error
