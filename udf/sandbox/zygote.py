"""The guest family's first process: shuts itself in, imports what guests need, then forks one child for each call.

It runs our own and installed code only, and never reads what a call brings: requests, arrays and answers pass between
the caller and the child. It ends when its caller's end of the control socket closes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udf.sandbox import child, landlock, namespaces, seccomp, system, visible

LARGEST = 64 << 10  # bytes of a message on the control socket
PRELOADED = ("numpy", "pandas", "xarray", "openeo.udf")
# torch makes the folder of its compiler's cache when that is imported, which can be where nothing can be written.
QUIET = {"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": "/tmp"} | {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
}


@dataclass
class Family:
    """What the first process knows: how it is shut in, and the calls that run."""

    config: dict[str, Any]
    handler: Callable[..., Any] | None = None
    home: int | None = None  # the family's own namespace of processes
    readable: list[int] = field(default_factory=list)  # what Landlock leaves to a call
    kept_rights: int = 0  # capabilities of a call
    running: dict[int, tuple[int, socket.socket]] = field(default_factory=dict)  # by pidfd: pid, where to report

    @property
    def apart(self) -> bool:
        """Whether each call has namespaces of its own."""
        return self.home is not None


def main(control_file: int) -> None:
    """Serve calls until the caller is gone. What fails before is told on the control socket."""
    control = socket.socket(fileno=control_file)
    try:
        family = _prepared(json.loads(control.recv(LARGEST)))
    except Exception as error:
        control.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()[:LARGEST])
        return
    os.dup2(1, 2)  # what calls print goes nowhere: until now errors went into a file that all would share
    control.send(b'{"ready": true}')
    _serve(control, family)


def _prepared(config: dict[str, Any]) -> Family:
    harden()
    family = Family(config)
    if config["level"] == "namespaces":
        proc = namespaces.enter(config["trees"])
        _be_first_process()
        family.home = namespaces.own_processes(proc)
        os.close(proc)
        system.drop_capabilities(system.ADMINISTER)  # for each call's namespaces
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    elif config["level"] == "landlock":
        if not landlock.version():
            raise OSError(38, "the kernel offers no Landlock")
        family.readable = landlock.open_paths([*config["trees"], *visible.DEVICES])
    seccomp.program(1, True)  # fails here, where it can be told, on a machine that it does not know
    family.handler = _loaded(config)
    if config["level"] != "namespaces" and os.geteuid() == 0:
        family.kept_rights = needed_rights(config["level"], config["trees"])
        system.become_nobody(family.kept_rights)
        system.prctl(system.PR_SET_DUMPABLE, 0)
    gc.collect()
    gc.freeze()
    return family


def needed_rights(level: str, trees: Sequence[str]) -> int:
    """What nobody needs to import from an interpreter in a folder that root alone may enter.

    Landlock has the last word: of all files, nobody but reads what it leaves.
    """
    folders = {parent for tree in trees for parent in Path(tree).parents}
    closed = any(not os.stat(folder).st_mode & stat.S_IXOTH for folder in folders)
    return system.READ_ANYTHING if closed and level == "landlock" else 0


def harden() -> None:
    """Forget the environment, leave no traces, gain no rights; be the first to go where memory is short."""
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(QUIET)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # short of memory, the machine ends guests before anything else


def _be_first_process() -> None:
    """Go on in a child, the first process of the family's namespace: with it all the others end."""
    child = os.fork()
    if child == 0:
        return
    caller = os.getppid()
    while os.getppid() == caller and not _ended(child):
        pass
    os._exit(0)  # and by its death signal the child


def _ended(child: int) -> bool:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    if os.waitpid(child, os.WNOHANG)[0]:
        return True
    signal.sigtimedwait([signal.SIGCHLD], 1.0)
    return False


def _loaded(config: dict[str, Any]) -> Callable[..., Any] | None:
    """The handler, with all that guests need in memory already."""
    if not config["handler"]:
        return None
    sys.path.extend(config["paths"])
    module, _, function = config["handler"].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    for name in ("udf.sandbox.arrays", *PRELOADED, *config["preload"]):
        try:
            importlib.import_module(name)
        except Exception:
            continue  # not installed, or not able to run in here; code that needs it will say so
    return found


def _serve(control: socket.socket, family: Family) -> None:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    caller = os.getppid()
    while family.apart or os.getppid() == caller:
        for file, _ in poll.poll(1000):
            if file == control.fileno():
                message, files, _, _ = socket.recv_fds(control, LARGEST, 8)
                if not message:
                    return
                handle = _start(control, family, json.loads(message), files)
                if handle is not None:
                    poll.register(handle, select.POLLIN)
            else:
                poll.unregister(file)
                _report(family, file)


def _start(control: socket.socket, family: Family, order: dict[str, Any], files: list[int]) -> int | None:
    """Fork the child of a call, tell the caller its pidfd and return it; None where no process is to be had."""
    call, status, given, taken = files
    report = socket.socket(fileno=status)
    try:
        number = os.fork() if family.home is None else namespaces.fork_apart(family.home)
    except OSError:
        report.close()  # which tells the caller
        number = -1
    if number == 0:
        control.detach()
        child.run(family, order, call, given, taken)
    for file in (call, given, taken):
        os.close(file)
    if number < 0:
        return None
    handle = os.pidfd_open(number)
    family.running[handle] = (number, report)
    with suppress(OSError):  # the caller is gone
        socket.send_fds(report, [b"{}"], [handle])
    return handle


def _report(family: Family, handle: int) -> None:
    number, report = family.running.pop(handle)
    _, status, usage = os.wait4(number, 0)
    code = os.waitstatus_to_exitcode(status)
    told = {"code": code, "cpu": usage.ru_utime + usage.ru_stime}
    with report, suppress(OSError):  # the caller is gone
        report.send(json.dumps(told).encode())
    os.close(handle)
