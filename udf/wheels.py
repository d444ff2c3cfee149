"""Wheels: downloaded by pip without their dependencies, read, and unpacked as plain files. Nothing in them is run.

All of this happens outside of the sandbox, so a wheel is not trusted here: its dependencies are read by us, since pip
would build those that name a place; and of what is in it, only modules and data next to them are written.
"""

from __future__ import annotations

import lzma
import os
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from udf.rules import PackageRules

ROUNDS = 12  # how deep dependencies may lie
MOST_WHEELS = 60
MOST_FILES = 20_000  # of all wheels of a set
MOST_METADATA = 1 << 20  # bytes
_TOLD = 600
_UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)
_CHUNK = 1 << 20
# pip, with no file larger than the limit.
_PIP = (
    "import resource, runpy, sys\n"
    "most = int(sys.argv.pop(1))\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n"
)


class WheelError(Exception):
    """Wheels that cannot be had, or that are not unpacked; the message says why."""


def fetch(
    wanted: Sequence[str], fixed: Path, rules: PackageRules, folder: Path, is_there: Callable[[Requirement], bool]
) -> list[Path]:
    """Download wheels with all that they depend on; return their paths.

    Parameters
    ----------
    wanted : sequence of str
        Requirements: names and versions.
    fixed : Path
        Constraints for pip.
    folder : Path
        Where to put the wheels and pip's cache.
    is_there : callable
        Whether a requirement is fulfilled already.

    Raises
    ------
    WheelError
        Where pip finds none that fit, a wheel cannot be read or asks for a place, there are too many or too large ones,
        or they take too long.
    """
    asked, ends = set(wanted), time.monotonic() + rules.seconds
    for number in range(ROUNDS):
        found = _downloaded(sorted(asked), fixed, rules, folder / str(number), ends)
        extras = _extras(asked)
        needed = [need for wheel in found for need in required(wheel, extras)]
        more = {str(need) for need in needed if not is_there(need)} - asked
        if not more:
            return found
        asked |= more
    raise WheelError(f"the dependencies of {', '.join(wanted)} lie more than {ROUNDS} deep")


def required(wheel: Path, extras: dict[str, set[str]]) -> list[Requirement]:
    """Return what a wheel depends on here; `extras` are those asked for, by the name of the package."""
    with _opened(wheel) as file:
        inner = [name for name in file.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
        if len(inner) != 1 or file.getinfo(inner[0]).file_size > MOST_METADATA:
            raise WheelError(f"{wheel.name} does not describe itself as a wheel must")
        with file.open(inner[0]) as stream:
            text = stream.read(MOST_METADATA).decode(errors="replace")
    chosen = {"", *extras.get(canonicalize_name(wheel.name.partition("-")[0]), ())}
    found = []
    for line in HeaderParser().parsestr(text).get_all("Requires-Dist", []):
        need = _requirement(wheel, str(line))
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in chosen):
            need.marker = None
            found.append(need)
    return found


def unpack(wheels: Iterable[Path], folder: Path, most: int) -> None:
    """Write the modules of wheels, and the data next to them, into a new folder: `most` bytes, read as they come.

    Left out: programs, headers and data meant for other folders, and ``.pth`` files.

    Raises
    ------
    WheelError
        For names that lead elsewhere, links, too much, and wheels that cannot be read.
    """
    folder.mkdir()
    left, files = most, 0
    for wheel in wheels:
        with _opened(wheel) as file:
            for entry in file.infolist():
                place = _place(wheel, entry)
                if place is None:
                    continue
                files += 1
                if files > MOST_FILES:
                    raise WheelError(f"the packages have more than {MOST_FILES} files")
                left -= _written(file, entry, folder / place, left)
                if left < 0:
                    raise WheelError(f"the packages take more than the {most} bytes that are possible")


def _written(file: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most: int) -> int:
    """Write a file, as far as there is room; return how large it is, or what is one too many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with file.open(entry) as stream, path.open("wb") as made:
        while size <= most and (chunk := stream.read(_CHUNK)):  # whatever size it says that it has
            size += len(chunk)
            made.write(chunk)
    return size


def _place(wheel: Path, entry: zipfile.ZipInfo) -> Path | None:
    """Return where a file belongs in the folder of packages; None for what is left out."""
    parts = entry.filename.rstrip("/").split("/")
    strange = any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts)
    if strange or not entry.filename.isprintable():
        raise WheelError(f"{wheel.name} holds a file of the name {entry.filename[:200]!r}, which leads elsewhere")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise WheelError(f"{wheel.name} holds a link, {entry.filename[:200]!r}")
    if entry.is_dir():
        return None
    if parts[0].endswith(".data"):
        parts = parts[2:] if parts[1:2] in (["purelib"], ["platlib"]) else []
    is_path_file = len(parts) == 1 and parts[0].lower().endswith(".pth")
    return Path(PurePosixPath(*parts)) if parts and not is_path_file else None


def _requirement(wheel: Path, text: str) -> Requirement:
    try:
        need = Requirement(text)
    except InvalidRequirement:
        raise WheelError(f"{wheel.name} depends on {text[:200]!r}, which is no requirement") from None
    if need.url is not None:
        raise WheelError(f"{wheel.name} depends on {text[:200]!r}; packages come from the operator's index alone")
    return need


def _extras(asked: Iterable[str]) -> dict[str, set[str]]:
    extras: dict[str, set[str]] = {}
    for requirement in map(Requirement, asked):
        extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return extras


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel; whatever is wrong with it is a `WheelError`."""
    try:
        with zipfile.ZipFile(wheel) as file:
            yield file
    except _UNREADABLE as error:
        raise WheelError(f"{wheel.name} cannot be unpacked: {error}") from None


def _downloaded(wanted: Sequence[str], fixed: Path, rules: PackageRules, folder: Path, ends: float) -> list[Path]:
    """Have pip download wheels alone, from the one index, without what they depend on."""
    is_url = "://" in rules.index
    place = ["--index-url", rules.index] if is_url else ["--no-index", "--find-links", rules.index]
    safe = ["--isolated", "--only-binary", ":all:", "--no-deps", "--no-input", "--retries", "1"]
    kept = ["--cache-dir", str(folder.parent / "cache"), "--dest", str(folder), "--constraint", str(fixed)]
    quiet = ["--disable-pip-version-check", "--quiet"]
    _run_pip(["download", *safe, *kept, *quiet, *place, "--", *wanted], wanted, rules, folder.parent, ends)
    found = sorted(folder.iterdir())
    strange = [path.name for path in found if path.suffix != ".whl"]
    if strange:
        raise WheelError(f"the index gave {', '.join(strange)}, which are no wheels")
    size = sum(path.stat().st_size for path in found)
    if len(found) > MOST_WHEELS or size > rules.bytes:
        limits = f"{MOST_WHEELS} wheels and {rules.bytes} bytes are possible"
        raise WheelError(f"the packages {', '.join(wanted)[:_TOLD]} are {len(found)} wheels of {size} bytes; {limits}")
    return found


def _run_pip(arguments: list[str], wanted: Sequence[str], rules: PackageRules, folder: Path, ends: float) -> None:
    """Run pip with nothing of the server's environment but the path."""
    command = [sys.executable, "-I", "-c", _PIP, str(rules.bytes), *arguments]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    told = f"installing {', '.join(wanted)[:_TOLD]}"
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=max(0.0, ends - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WheelError(f"{told} took more than {rules.seconds:.0f} seconds") from None
    if "File too large" in done.stderr:
        raise WheelError(f"{told} takes more than the {rules.bytes} bytes that are possible")
    if done.returncode:
        reason = " ".join(line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if "ERROR" in line)
        raise WheelError(f"{told} failed: {(reason or done.stderr.strip())[:_TOLD]}")
