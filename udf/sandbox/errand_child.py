"""An errand from the inside: the process shuts itself in, then does what it was sent for and ends."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from udf.sandbox import landlock, namespaces, seccomp, system, visible
from udf.sandbox.limits import ADDRESSES
from udf.sandbox.zygote import harden, needed_rights

_LONGEST = 4_000
LARGEST_ANSWER = 1 << 20  # bytes, since the server reads it as JSON


def main(answer: int) -> None:
    """Read the order, and write what came of it to the file `answer`."""
    order = json.load(sys.stdin)
    try:
        told: dict[str, Any] = {"answer": _done(order)}
    except Exception as error:
        told = {"error": type(error).__name__, "message": str(error)[:_LONGEST]}
    text = json.dumps(told)
    if len(text) > LARGEST_ANSWER:
        text = json.dumps({"error": "ValueError", "message": f"the answer is larger than {LARGEST_ANSWER} bytes"})
    with open(answer, "w") as file:
        file.write(text)


def _done(order: dict[str, Any]) -> Any:
    harden()
    os.environ.update(HOME=order["folder"], TMPDIR=order["folder"])
    _shut_in(order)
    os.chdir(order["folder"])
    module, _, function = order["handler"].partition(":")
    handler: Callable[[dict[str, Any]], Any] = getattr(importlib.import_module(module), function)
    return handler(order["request"])


def _shut_in(order: dict[str, Any]) -> None:
    level, network = order["level"], bool(order["ports"])
    if level == "namespaces":
        apart = namespaces.EVERYTHING & ~namespaces.NEW_PROCESSES
        apart = apart & ~namespaces.NEW_NETWORK if network else apart
        os.close(namespaces.enter(order["trees"], [order["folder"]], apart))
        landlock.confine_network(order["ports"])
        system.drop_capabilities()
    elif level == "landlock":
        _be_held_by_landlock(order)
    else:
        landlock.confine_network(order["ports"])
        system.drop_capabilities()
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    _hold(order)
    seccomp.confine(own_files=False, network=network)
    # Neither is allowed, since Landlock could not tell whose files they are for, and neither matters here.
    os.chmod = os.utime = lambda *_, **__: None  # type: ignore[assignment]


def _be_held_by_landlock(order: dict[str, Any]) -> None:
    readable = landlock.open_paths([*order["trees"], *visible.DEVICES])
    writable = landlock.open_paths([order["folder"]])
    rights = 0
    if os.geteuid() == 0:
        rights = needed_rights("landlock", [*order["trees"], order["folder"]])
        system.become_nobody(rights)
    landlock.confine(readable, writable, order["ports"])
    for file in (*readable, *writable):
        os.close(file)
    system.drop_capabilities(rights)


def _hold(order: dict[str, Any]) -> None:
    """Set the kernel's limits: what the process has by now is small beside them."""
    seconds = int(order["seconds"]) + 1
    for which, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, max(order["file_bytes"], LARGEST_ANSWER)),
        (resource.RLIMIT_DATA, order["memory"]),
        (resource.RLIMIT_AS, order["memory"] + ADDRESSES),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        highest = resource.getrlimit(which)[1]
        most = most if highest == resource.RLIM_INFINITY else min(most, highest)
        resource.setrlimit(which, (most, most))
