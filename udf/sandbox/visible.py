"""What of the file system user code sees: Python, installed packages, libraries, and nothing else. Read-only."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def trees(further: Sequence[Path] = ()) -> list[str]:
    """Folders and files to show: the interpreter's and the environment's libraries, this package, `further` ones.

    Never the folders on `sys.path` themselves: a checkout's root holds the server's data.
    """
    python = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    base = sysconfig.get_config_var("LIBDIR")  # of the interpreter's own shared libraries
    wanted = {*python, *([base] if base else []), *LIBRARIES, *FILES, str(_package()), *map(str, further)}
    there = sorted(path for path in wanted if path and os.path.exists(path))
    links = [path for path in there if os.path.realpath(path) != os.path.abspath(path)]
    return outermost(map(os.path.realpath, there)) + links


def packages() -> list[tuple[str, str]]:
    """Names and folders of the packages of ours that the guest imports modules of."""
    return [("udf", str(_package())), ("udf.sandbox", str(_package() / "sandbox"))]


def outermost(paths: Iterable[str]) -> list[str]:
    """The paths without those that lie in others of them."""
    kept: list[str] = []
    for path in sorted(paths):
        if not any(os.path.commonpath([path, outer]) == outer for outer in kept):
            kept.append(path)
    return kept


def _package() -> Path:
    return Path(__file__).parents[1]
