"""Runs the hostile code at one level of the sandbox, while a well-behaved call goes on beside it.

Also a program, so that the suite can run as another user: ``python -m tests.attacks.harness LEVEL UID`` (as root)
becomes an ordinary user first, and prints what became of each attack as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.attacks.attack import MIB, Attack
from tests.attacks.hostile_code import ATTACKS
from udf.sandbox import GuestError, Limits, Sandbox, SandboxError
from udf.sandbox.numbers import NUMBERS
from udf.sandbox.system import unshare

ROOT = Path(__file__).parents[2]
GUESTS = ROOT / "tests" / "udf" / "sandbox" / "guests"
LIMITS = Limits(
    memory=512 * MIB,
    cpu_seconds=20.0,
    wall_seconds=40.0,
    output_bytes=64 * MIB,
    scratch_bytes=16 * MIB,
    processes=16,
    open_files=64,
)
GOOD = """
import time
time.sleep(0.05)
log({'level': 'info', 'message': 'at work'})
made = [arrays[0] * 2]
answer = {'sum': float(made[0].sum())}
"""
# Calls that no list of ours allows: x86_64, aarch64.
OTHER_CALLS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "mount": (165, 40), "umount2": (166, 39),
    "memfd_create": (319, 279), "shmget": (29, 194), "keyctl": (250, 219), "add_key": (248, 217), "bpf": (321, 280),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265), "init_module": (175, 105), "kexec_load": (246, 104), "reboot": (169, 142),
    "sethostname": (170, 161), "inotify_init1": (294, 26), "personality": (135, 92), "sched_setaffinity": (203, 122),
}  # fmt: skip


def call_numbers() -> dict[str, int | None]:
    """Numbers of system calls on this machine."""
    which = 0 if platform.machine() in ("x86_64", "AMD64") else 1
    return {name: numbers[which] for name, numbers in {**NUMBERS, **OTHER_CALLS}.items()}


class Range:
    """A server with something to lose, a sandbox for each attack's limits, and a second one at honest work."""

    def __init__(self, level: str, folder: Path):
        self.level = level
        self._open = ExitStack()
        self._secret = folder / "state" / "openeo.sqlite"
        self._secret.parent.mkdir(parents=True)
        self._secret.write_text("SERVER_SECRET")
        os.environ["SERVER_SECRET"] = "SERVER_SECRET"
        listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._port = listener.getsockname()[1]
        self._listener = listener
        listener.setblocking(False)
        self._hostile = self._open.enter_context(self._sandbox(LIMITS))
        self._honest = self._open.enter_context(self._sandbox(LIMITS))
        self._beside = self._open.enter_context(ThreadPoolExecutor(1))

    def close(self) -> None:
        """End the sandboxes."""
        self._open.close()
        os.environ.pop("SERVER_SECRET", None)

    def outcome(self, attack: Attack) -> dict[str, Any]:
        """Run one attack; what became of it, and what else was harmed."""
        work = self._beside.submit(self._work)
        with self._with_limits(attack) as sandbox:
            became = self._became(sandbox, attack)
        became["harm"] = [*self._harm(), *work.result(60)]
        return became

    def _became(self, sandbox: Sandbox, attack: Attack) -> dict[str, Any]:
        request = {
            "code": attack.code,
            "secret": str(self._secret),
            "port": self._port,
            "server": os.getpid(),
            "calls": call_numbers(),
        }
        try:
            answer, made = sandbox.call(request, [np.arange(10.0)])
        except SandboxError as error:
            return {"kind": error.kind, "message": str(error)}
        except GuestError as error:
            return {"kind": "error", "message": error.message}
        return {"kind": "breach" if answer or made else "harmless", "message": str(answer)}

    def _harm(self) -> list[str]:
        harm = []
        if self._secret.read_text() != "SERVER_SECRET" or os.listdir(self._secret.parent) != [self._secret.name]:
            harm.append("the server's files have changed")
        if self._secret.stat().st_mode & 0o777 == 0o777:
            harm.append("the server's files have another mode")
        try:
            self._listener.accept()[0].close()
            harm.append("the server was connected to")
        except BlockingIOError:
            pass
        return harm

    def _work(self) -> list[str]:
        """The honest call beside the attack."""
        values, messages = np.random.default_rng(1).random((50, 1000)), []
        answer, made = self._honest.call({"code": GOOD}, [values], messages.append)
        right = (
            np.array_equal(made[0], values * 2) and answer == {"sum": float((values * 2).sum())} and len(messages) == 1
        )
        return [] if right else ["the call beside it gave something else"]

    @contextmanager
    def _with_limits(self, attack: Attack) -> Iterator[Sandbox]:
        """The warm sandbox with the attack's own limits for one call."""
        self._hostile.limits = replace(LIMITS, **attack.limits)
        try:
            yield self._hostile
        finally:
            self._hostile.limits = LIMITS

    def _sandbox(self, limits: Limits) -> Sandbox:
        return Sandbox(limits, handler="running_guest:run", read_only=[GUESTS], level=self.level)


def fault(attack: Attack, became: dict[str, Any]) -> str | None:
    """What is wrong with an outcome, None where it is as it must be."""
    if became["harm"]:
        return "; ".join(became["harm"])
    if became["kind"] not in attack.outcome:
        return f"ended as {became['kind']} ({became['message']}), not {' or '.join(attack.outcome)}"
    if became["kind"] == "error" and not any(text in became["message"] for text in attack.says):
        return f"says {became['message']!r}"
    return None


def become_ordinary(user: int) -> None:
    """From root to an ordinary user who can reach the interpreter and this checkout, wherever they lie."""
    needed = {os.path.realpath(path) for path in (sys.base_prefix, sys.prefix, ROOT, sysconfig.get_path("purelib"))}
    unshare(0x20000)
    from udf.sandbox.system import mount

    mount(None, "/", None, 16384 | 1 << 18)
    for closed in sorted({folder for path in needed if (folder := _closed_folder(path))}):
        _open_up(closed, [path for path in needed if path.startswith(closed + "/")])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _closed_folder(path: str) -> str | None:
    """The outermost folder on the way that others may not pass."""
    parents = [str(parent) for parent in reversed(Path(path).parents)]
    return next((folder for folder in parents if not os.stat(folder).st_mode & 1), None)


def _open_up(closed: str, shown: list[str]) -> None:
    """In our own view of the files, put an open folder over a closed one, with what is needed in it."""
    from udf.sandbox.system import mount

    files = [(path, os.open(path, os.O_PATH)) for path in shown]
    mount("tmpfs", closed, "tmpfs", 0, "mode=0755")
    for path, file in files:
        if not os.path.exists(path):
            os.makedirs(path)
            mount(f"/proc/self/fd/{file}", path, None, 4096 | 16384)


def main() -> None:
    """Run the whole suite as another user and print the outcomes, with the level's reasons where it is refused."""
    level, user = sys.argv[1], int(sys.argv[2])
    become_ordinary(user)
    with tempfile.TemporaryDirectory() as folder:
        try:
            field = Range(level, Path(folder))
        except SandboxError as error:
            print(json.dumps({"refused": str(error)}))  # noqa: T201
            return
        with closing(field):
            print(json.dumps({attack.name: field.outcome(attack) for attack in ATTACKS}))  # noqa: T201


if __name__ == "__main__":
    main()
