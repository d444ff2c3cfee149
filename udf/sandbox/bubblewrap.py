"""Namespaces by the program bwrap, where it is installed and a process may not make them itself."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from udf.sandbox.visible import DEVICES


def program() -> str | None:
    """Path of bwrap, None where it is not installed."""
    return shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")


def wrapped(
    command: Sequence[str],
    trees: Sequence[str],
    writable: Sequence[str] = (),
    network: bool = False,
    ends_with_us: bool = False,
) -> list[str]:
    """The command in namespaces of its own, which sees the trees and a few devices and may write nowhere.

    Save to folders that are `writable`; with `network`, it has the machine's. With `ends_with_us` it is ended with the
    thread that starts it (so the kernel counts), and the command with bwrap; not for what outlives the thread.
    """
    bwrap = program()
    if bwrap is None:
        raise FileNotFoundError("bwrap is not installed")
    folders = [path for path in trees if not os.path.islink(path)]
    links = [path for path in trees if os.path.islink(path)]
    options = ["--unshare-all", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--clearenv"]
    options += ["--share-net"] if network else []
    options += ["--die-with-parent"] if ends_with_us else []
    # What is shown of /proc is found by its name alone.
    shows = any(path.startswith("/proc/") for path in trees)
    options += ["--perms", "0111" if shows else "0000", "--dir", "/proc"]
    for path in [*folders, *_interpreter()]:
        options += ["--ro-bind", os.path.realpath(path), path]
    for path in links:
        options += ["--symlink", os.readlink(path), path]
    for path in DEVICES:
        options += ["--dev-bind", path, path]
    for path in writable:
        options += ["--bind", path, path]
    return [bwrap, *options, "--remount-ro", "/", "--chdir", "/", "--", *command]


def _interpreter() -> list[str]:
    """The program to start, the one that it links to, and the file that makes it an environment's."""
    configuration = os.path.join(sys.prefix, "pyvenv.cfg")
    paths = {sys.executable, os.path.realpath(sys.executable), configuration}
    return sorted(path for path in paths if os.path.exists(path))
