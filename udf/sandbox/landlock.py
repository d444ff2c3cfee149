"""Landlock: a process gives up, for good, every file but those of a list.

Needs no privilege and no namespace (Linux 5.13).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from udf.sandbox.system import PR_SET_NO_NEW_PRIVS, prctl, syscall

READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # by version: how many kinds of access there are
_NEVER = 1 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # to start programs, to make devices, sockets, pipes, links
_CONNECT_TCP, _CONNECT_TCP_AND_BIND = 2, 3  # from version 4
_SCOPES = 3  # from version 6: abstract sockets and signals stay inside


def version() -> int:
    """Version of the kernel's Landlock, 0 where there is none or it is switched off."""
    try:
        return syscall("landlock_create_ruleset", ctypes.c_void_p(None), 0, 1)
    except OSError:
        return 0


def open_paths(paths: Iterable[str]) -> list[int]:
    """Open what will stay readable, by its own name only; what is not there is left out."""
    opened = []
    for path in paths:
        try:
            opened.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
        except OSError:
            continue
    return opened


def confine(readable: Iterable[int], writable: Iterable[int] = (), ports: Iterable[int] = ()) -> None:
    """Leave this process nothing but reading the opened files and folders, and what lies under them.

    Parameters
    ----------
    readable, writable : iterable of int
        Opened with `open_paths`; in those that are writable, files and folders may be made and removed.
    ports : iterable of int
        To which TCP connections may be made, where the kernel can forbid others (Linux 6.7).
    """
    level = version()
    everything = (1 << _FILE_RIGHTS[min(level, 5)]) - 1
    rights = [(file, READ_FILE | (READ_FOLDER if stat.S_ISDIR(os.fstat(file).st_mode) else 0)) for file in readable]
    rights += [(file, everything & ~_NEVER) for file in writable]
    _restrict(level, everything, rights, ports)


def confine_network(ports: Iterable[int]) -> None:
    """Leave this process TCP connections to these ports alone, where the kernel can forbid others (Linux 6.7)."""
    level = version()
    if level >= 4:
        _restrict(level, 0, [], ports)


def _restrict(level: int, files: int, rights: Iterable[tuple[int, int]], ports: Iterable[int]) -> None:
    network = _CONNECT_TCP_AND_BIND if level >= 4 else 0
    scopes = _SCOPES if level >= 6 else 0
    attributes = struct.pack("QQQ", files, network, scopes)[: 8 if level < 4 else 16 if level < 6 else 24]
    ruleset = syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for file, allowed in rights:
            syscall("landlock_add_rule", ruleset, 1, struct.pack("=Qi", allowed, file), 0)
        for port in ports if network else ():
            syscall("landlock_add_rule", ruleset, 2, struct.pack("QQ", _CONNECT_TCP, port), 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
