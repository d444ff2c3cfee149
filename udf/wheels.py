"""Wheels: downloaded by pip without their dependencies, read, and unpacked as plain files. Nothing in them is run.

All of this happens in boxes of its own, which `udf.fetching` sends; no wheel is trusted there either. Its dependencies
are read by us, since pip would build those that name a place; and of what is in it, only modules and data next to them
are written.
"""

from __future__ import annotations

import io
import lzma
import mimetypes
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MOST_WHEELS = 60
MOST_FILES = 20_000  # of all wheels of a set
MOST_METADATA = 1 << 20  # bytes
MOST_NEEDED = 1_000  # dependencies of a set
LONGEST = 500  # characters of a requirement: the server looks at versions, whose digits take the time of their square
_TOLD = 600
_UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)
_CHUNK = 1 << 20


class WheelError(Exception):
    """Wheels that cannot be had, or that are not unpacked; the message says why."""


def download(request: dict[str, Any]) -> dict[str, Any]:
    """Have pip download wheels alone, from the one index, without what they depend on; an errand.

    Parameters
    ----------
    request : dict
        ``wanted`` (requirements), ``fixed`` (the text of pip's constraints), ``index``, ``folder`` (for the wheels,
        new), ``bytes`` (of all of them) and ``extras`` by the name of the package.

    Returns
    -------
    dict
        ``wheels``, their names, and ``needed``, what they depend on here.
    """
    folder = Path(request["folder"])
    _pip(request, folder)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    strange = [path.name for path in found if path.suffix != ".whl"]
    if strange:
        raise WheelError(f"the index gave {', '.join(strange)}, which are no wheels")
    size = sum(path.stat().st_size for path in found)
    if len(found) > MOST_WHEELS or size > request["bytes"]:
        limits = f"{MOST_WHEELS} wheels and {request['bytes']} bytes are possible"
        raise WheelError(f"the packages {_names(request)} are {len(found)} wheels of {size} bytes; {limits}")
    extras = {name: set(chosen) for name, chosen in request["extras"].items()}
    needed = {str(need) for wheel in found for need in required(wheel, extras)}
    if len(needed) > MOST_NEEDED:
        raise WheelError(f"the packages {_names(request)} have {len(needed)} dependencies; {MOST_NEEDED} are possible")
    return {"wheels": [path.name for path in found], "needed": sorted(needed)}


def unpack_all(request: dict[str, Any]) -> None:
    """Unpack the ``wheels`` into the ``folder``, at most ``bytes``; an errand, as of `unpack`."""
    unpack(map(Path, request["wheels"]), Path(request["folder"]), request["bytes"])


def _pip(request: dict[str, Any], folder: Path) -> None:
    from pip._internal.cli.main import main

    # The machine's own settings are not for here, and Landlock lets them be found but not read.
    os.environ["PIP_CONFIG_FILE"] = os.devnull
    mimetypes.knownfiles = []
    fixed = folder.with_name(f"{folder.name}.txt")
    fixed.write_text(request["fixed"])
    place = ["--index-url", request["index"]]
    if "://" not in request["index"]:
        place = ["--no-index", "--find-links", request["index"]]
    safe = ["--isolated", "--only-binary", ":all:", "--no-deps", "--no-input", "--retries", "1"]
    kept = ["--cache-dir", str(folder.with_name("cache")), "--dest", str(folder), "--constraint", str(fixed)]
    quiet = ["--disable-pip-version-check", "--quiet"]
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main(["download", *safe, *kept, *quiet, *place, "--", *request["wanted"]])
    lines = said.getvalue()
    if "File too large" in lines:
        raise WheelError(f"installing {_names(request)} takes more than the {request['bytes']} bytes that are possible")
    if code:
        reason = " ".join(line.removeprefix("ERROR: ") for line in lines.splitlines() if "ERROR" in line)
        raise WheelError(f"installing {_names(request)} failed: {(reason or lines.strip())[:_TOLD]}")


def _names(request: dict[str, Any]) -> str:
    return ", ".join(request["wanted"])[:_TOLD]


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
        if _is_wanted(wheel, need, chosen):
            need.marker = None
            if len(str(need)) > LONGEST:
                raise WheelError(f"{wheel.name} depends on {str(need)[:200]!r}..., longer than {LONGEST} characters")
            found.append(need)
    return found


def _is_wanted(wheel: Path, need: Requirement, extras: set[str]) -> bool:
    try:
        return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    except (ValueError, RecursionError):
        raise WheelError(f"{wheel.name} depends on {need.name} where a marker holds that cannot be compared") from None


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
    except (ValueError, RecursionError):
        raise WheelError(f"{wheel.name} depends on {text[:200]!r}, which is no requirement") from None
    if need.url is not None:
        raise WheelError(f"{wheel.name} depends on {text[:200]!r}; packages come from the operator's index alone")
    return need


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel; whatever is wrong with it is a `WheelError`."""
    try:
        with zipfile.ZipFile(wheel) as file:
            yield file
    except _UNREADABLE as error:
        raise WheelError(f"{wheel.name} cannot be unpacked: {error}") from None
