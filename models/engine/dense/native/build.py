"""Compile the kernels for this machine's processor and keep the library in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

log = logging.getLogger(__name__)

SOURCES = ("frames.cpp", "context.cpp")
HEADERS = ("maps.h", "network.h", "patches.h", "simd.h", "threads.h", "winograd.h")
# No trapping and no errno let loops become vectors; what changes numbers (-ffast-math) stays off.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-pthread")
ROUNDED = "-DBF16"  # matrix products of bf16 numbers, on processors that have them
SECONDS = 300
GIVEN = "OPENEO_EMBED_KERNELS"  # names a library built before; where it is set, even to nothing, nothing is compiled


class BuildError(Exception):
    """Why there is no library."""


@cache
def library(rounded: bool = False) -> ctypes.CDLL | None:
    """Return the compiled kernels, or None, with a line in the log that says why not.

    `rounded` asks for those whose matrix products take bf16.
    """
    try:
        if GIVEN in os.environ:
            return _load(_given(rounded))
        return _load(build(_cache_folder(), (*FLAGS, ROUNDED) if rounded else FLAGS))
    except (BuildError, OSError) as error:
        log.warning("The dense engine runs on plain torch, about three times slower than compiled: %s", error)
        return None


def _given(rounded: bool) -> Path:
    """The library that whoever started this process has named: for a sandbox, which has no compiler."""
    if rounded or not os.environ[GIVEN]:
        raise BuildError(f"{GIVEN} names no library")
    return Path(os.environ[GIVEN])


def build(folder: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Return the library in `folder`, compiled unless it is there already: for these flags, sources and processor.

    Raises
    ------
    BuildError
        There is no compiler, or it failed; the message holds what it said.
    """
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise BuildError("no C++ compiler (c++, g++ or clang++) was found")
    target = folder / f"kernels-{_fingerprint(compiler, flags)}.so"
    if not target.exists():
        log.info("Compiling the dense engine's kernels with %s", compiler)
        _compile(compiler, flags, target)
    return target


def _compile(compiler: str, flags: tuple[str, ...], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for name in (*SOURCES, *HEADERS):
            (Path(folder) / name).write_bytes(_source(name))
        command = [compiler, *flags, *SOURCES, "-o", "kernels.so"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{compiler} took more than {SECONDS} seconds") from error
        if done.returncode:
            raise BuildError(f"{compiler} failed: {done.stderr.strip()[-2000:]}")
        os.replace(Path(folder) / "kernels.so", target)


def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    for name in ("frame_scratch_bytes", "context_scratch_bytes"):
        getattr(loaded, name).restype = ctypes.c_int64
    for name in ("frame_maps", "shared_vectors", "owned_vectors", "encode_context"):
        getattr(loaded, name).restype = None
    return loaded


def _source(name: str) -> bytes:
    return (files(__package__) / name).read_bytes()


def _fingerprint(compiler: str, flags: tuple[str, ...]) -> str:
    """Of all that the library depends on: a home folder may be shared by machines of different processors."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=SECONDS, check=False).stdout
    parts = (*map(_source, (*SOURCES, *HEADERS)), " ".join(flags).encode(), version, _processor().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def _processor() -> str:
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(errors="replace").splitlines()
        flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.system()} {platform.machine()} {flags}"


def _cache_folder() -> Path:
    """A folder that only this user can write to: what lies there is run."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "openeo-embed"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="openeo-embed-"))
