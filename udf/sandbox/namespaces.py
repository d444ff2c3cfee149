"""Namespaces of the guest family and of each call: own users, files, processes, network, messages and host name.

The family enters once; each call gets processes and temporary files of its own. The namespaces are made by whoever
runs the server: root first becomes nobody, anyone else is seen as nobody from inside.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from udf.sandbox import system
from udf.sandbox.system import NOBODY
from udf.sandbox.visible import DEVICES

NEW_FILES, NEW_CGROUP, NEW_HOST, NEW_MESSAGES = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
EVERYTHING = NEW_FILES | NEW_CGROUP | NEW_HOST | NEW_MESSAGES | NEW_USER | NEW_PROCESSES | NEW_NETWORK
NO_SETUID, NO_DEVICES, NO_PROGRAMS, READ_ONLY = 2, 4, 8, 1  # flags of mounts
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_WHOLE_TREE = 0x8000  # AT_RECURSIVE
BASE = "/tmp"  # where the new root is built; it exists everywhere
OLD = "/.old"
SCRATCH, ASIDE = "/tmp", "/.aside"  # temporary files of a call; where what they would cover is held meanwhile


def enter(trees: Sequence[str], writable: Sequence[str] = (), which: int = EVERYTHING) -> int:
    """Move this process into namespaces of its own, with `trees` as its only files; returns an open /proc.

    Folders that are `writable` are among its files, too; `which` are the namespaces. That of processes is entered by
    the next child. Raises OSError where the system refuses.
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    built = os.geteuid() == 0 and _may_mount()
    if built:
        # While still root: nobody could not reach an interpreter that lies in a folder of root's.
        _build(trees, writable)
    if os.geteuid() == 0:
        system.become_nobody()
        system.prctl(system.PR_SET_DUMPABLE, 1)  # else the maps below belong to root
    user, group = os.geteuid(), os.getegid()
    system.unshare(which)
    _be_nobody(proc, user, group)
    if not built:
        _build(trees, writable)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    return proc


def _may_mount() -> bool:
    """Whether root is the machine's; a container's root seldom may mount, but nobody may in a namespace of its own."""
    try:
        system.unshare(NEW_FILES)
    except PermissionError:
        return False
    return True


def own_processes(proc: int) -> int:
    """Open the namespace that this process, the first of its kind, counts processes in."""
    return os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)


def fork_apart(home: int) -> int:
    """Fork a child that is the first process of a new namespace in the one of `own_processes`; as os.fork."""
    system.setns(home, NEW_PROCESSES)  # else the kernel refuses a second time
    system.unshare(NEW_PROCESSES)
    return os.fork()


def scratch(size: int, trees: Sequence[str]) -> None:
    """Give a call temporary files of its own at /tmp, of `size` bytes, or no place to write at all.

    Those of `trees` that lie there stay visible.
    """
    system.unshare(NEW_FILES | NEW_MESSAGES)
    if size:
        covered = [path for path in map(os.path.realpath, trees) if path.startswith(SCRATCH + "/")]
        if covered:
            system.mount(SCRATCH, ASIDE, None, _BIND | _RECURSIVE)
        options = f"size={size},nr_inodes=16384,mode=0700"
        system.mount("tmpfs", SCRATCH, "tmpfs", NO_SETUID | NO_DEVICES | NO_PROGRAMS, options)
        os.mkdir("/tmp/.shm")
        for path in covered:
            _uncover(path)
        if covered:
            system.unmount(ASIDE)
    os.chdir(SCRATCH)


def _uncover(path: str) -> None:
    """Show a file or folder, held aside, at its place among the temporary files; its mount stays read-only."""
    aside = ASIDE + path.removeprefix(SCRATCH)
    _place_for(path, os.path.isdir(aside))
    system.mount(aside, path, None, _BIND | _RECURSIVE)


def _be_nobody(proc: int, user: int, group: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _build(trees: Sequence[str], writable: Sequence[str]) -> None:
    """Make a root in memory that shows the trees and a few devices, and let go of the old one."""
    os.umask(0o022)  # nobody must find its way through these folders
    system.mount(None, "/", None, _RECURSIVE | _PRIVATE)
    system.mount("tmpfs", BASE, "tmpfs", NO_SETUID | NO_DEVICES, "size=1m,mode=0755")
    os.mkdir(BASE + OLD)
    system.syscall("pivot_root", BASE.encode(), (BASE + OLD).encode())
    os.chdir("/")
    for folder in (SCRATCH, "/dev", ASIDE):
        os.mkdir(folder)
    # Forbidden rather than absent: libraries that look for themselves take that well. Where a file of it is shown, only
    # that file is there, and the folder can be passed but not listed.
    os.mkdir("/proc", 0o711 if any(path.startswith("/proc/") for path in trees) else 0)
    os.symlink("/tmp/.shm", "/dev/shm")
    for path in trees:
        _show(path, NO_SETUID | NO_DEVICES | READ_ONLY)
    for path in DEVICES:
        _show(path, NO_SETUID | NO_PROGRAMS)
    for path in writable:
        _show(path, NO_SETUID | NO_DEVICES | NO_PROGRAMS)
    system.unmount(OLD)
    os.rmdir(OLD)
    _restrict("/", NO_SETUID | NO_DEVICES | READ_ONLY, 0)
    os.umask(0o077)


def _show(path: str, flags: int) -> None:
    """Show a file or folder at its place in the new root; links on the way stay links."""
    real = _linked(path)
    if real is None or os.path.exists(real):
        return
    _place_for(real, stat.S_ISDIR(os.stat(OLD + real).st_mode))
    system.mount(OLD + real, real, None, _BIND | _RECURSIVE)
    _restrict(real, flags, _WHOLE_TREE)


def _place_for(path: str, is_folder: bool) -> None:
    """Make an empty file or folder, and what leads to it, to mount something over."""
    if is_folder:
        os.makedirs(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _linked(path: str, most: int = 40) -> str | None:
    """Make the links that lead along a path in the old root also in the new one; returns where they lead."""
    done, rest = "", [part for part in path.split("/") if part]
    while rest:
        part = rest.pop(0)
        if part == "..":
            done = os.path.dirname(done)
            continue
        here = f"{done}/{part}"
        if not os.path.islink(OLD + here):
            done = here if part != "." else done
            continue
        most -= 1
        if most == 0:
            return None
        target = os.readlink(OLD + here)
        if not os.path.lexists(here):
            os.makedirs(done or "/", exist_ok=True)
            os.symlink(target, here)
        if target.startswith("/"):
            done = ""
        rest = [part for part in target.split("/") if part] + rest
    return done if os.path.exists(OLD + done) else None


def _restrict(path: str, flags: int, reach: int) -> None:
    """Add restrictions to a mount, and with `reach` to those below it (Linux 5.12)."""
    attributes = (flags).to_bytes(8, "little") + bytes(24)
    system.syscall("mount_setattr", -100, path.encode(), reach, attributes, len(attributes))
