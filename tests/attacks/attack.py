"""A piece of hostile code and what must become of it, and two common forms of it."""

from __future__ import annotations

from dataclasses import dataclass, field

DENIED = ("PermissionError", "FileNotFoundError", "Errno 1]", "Errno 38]", "denied")


@dataclass(frozen=True)
class Attack:
    """A piece of code and its end; `limits` are tighter ones for it alone."""

    name: str
    code: str
    outcome: tuple[str, ...] = ("error",)
    says: tuple[str, ...] = DENIED
    limits: dict = field(default_factory=dict)


MIB = 1 << 20
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def system_call(name: str, *arguments: str) -> Attack:
    """A system call that must fail; it may not even exist."""
    code = LIBC + (
        f"if libc.syscall(request['calls'][{name!r}], {', '.join(arguments)}) < 0:\n"
        "    raise OSError(ctypes.get_errno(), 'denied')\n"
        "answer = {'got': 'through'}"
    )
    return Attack(f"system call {name}", code)


def all_denied(name: str, *tries: str) -> Attack:
    """Several statements that must each fail."""
    code = LIBC + "import socket, subprocess, multiprocessing, shutil, signal\n"
    for statement in tries:
        code += f"try:\n    {statement}\n    answer = {{'got': {statement!r}}}\nexcept OSError: pass\n"
    return Attack(name, code + "if not answer: raise PermissionError('all denied')")
