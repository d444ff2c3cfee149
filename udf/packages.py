"""Packages that users' code asks for in a block of script metadata (PEP 723), installed where the operator allows it.

Wheels are downloaded and unpacked in boxes of their own, since the sandbox has no network; nothing of what is in them
is run there (see `udf.fetching`). Their code is first run when users' code imports it, inside the sandbox.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from udf.fetching import fetch
from udf.rules import PackageRules
from udf.wheels import LONGEST, WheelError

logger = logging.getLogger("udf.packages")

# What users' code finds without asking for it, and what other packages must fit to.
OFFERED = (
    "dask", "geopandas", "netCDF4", "numpy", "openeo", "pandas", "pyproj", "rasterio", "scikit-learn", "scipy",
    "shapely", "torch", "xarray",
)  # fmt: skip
MOST = 20
UNUSED = 86400.0  # seconds after which a set of packages may make room for another


class PackageError(Exception):
    """What the code asks for cannot be had; the message says why and what to do."""


def offered_versions() -> dict[str, str]:
    """Return name and version of the libraries that users' code finds."""
    found = {}
    for name in OFFERED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_script_block(source: str, allowed: bool) -> tuple[str, ...]:
    """Return the dependencies that the code's script block lists, sorted; none where it has no block.

    Parameters
    ----------
    source : str
    allowed : bool
        Whether packages are installed at all.

    Raises
    ------
    PackageError
        For a block that cannot be read, another version of Python, packages where none are installed, and
        requirements that name anything but a package and its versions.
    """
    content = _script_content(source)
    if content is None:
        return ()
    try:
        block = tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # also of numbers of too many digits
        raise PackageError(f"its block '# /// script' is no TOML: {error}") from None
    _require_python(block.get("requires-python"))
    listed = block.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise PackageError("'dependencies' in its block '# /// script' must be an array of texts")
    if len(listed) > MOST:
        raise PackageError(f"its block '# /// script' lists {len(listed)} dependencies; {MOST} are possible")
    wanted = sorted({str(_requirement(item)) for item in listed})
    wanted = [item for item in wanted if not _is_there(Requirement(item))]
    if wanted and not allowed:
        raise PackageError(
            f"it asks for {', '.join(wanted)}, but the operator of this server lets no packages be installed; use what "
            "/udf_runtimes lists"
        )
    return tuple(wanted)


def _script_content(source: str) -> str | None:
    """Return what is between ``# /// script`` and the last ``# ///`` of the comment; there may be one such block."""
    lines = source.splitlines()
    found, at = [], 0
    while at < len(lines):
        if lines[at].rstrip() == "# /// script":
            end = at + 1
            while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
                end += 1
            closes = [i for i in range(at + 1, end) if lines[i].rstrip() == "# ///"]
            if not closes:
                raise PackageError("its block '# /// script' has no end; write '# ///' on a line of its own")
            found.append("\n".join(line[2:] for line in lines[at + 1 : closes[-1]]))
            at = end
        else:
            at += 1
    if len(found) > 1:
        raise PackageError("it has several blocks '# /// script'; one is possible")
    return found[0] if found else None


def _require_python(wanted: object) -> None:
    if wanted is None:
        return
    if not isinstance(wanted, str) or len(wanted) > LONGEST:
        raise PackageError(f"'requires-python' is no text of at most {LONGEST} characters")
    try:
        fits = platform.python_version() in SpecifierSet(wanted)
    except ValueError:
        raise PackageError(f"'requires-python' is {wanted!r}, which is no version specifier") from None
    if not fits:
        raise PackageError(f"it requires Python {wanted}; there is {platform.python_version()}")


def _requirement(text: str) -> Requirement:
    if len(text) > LONGEST:
        raise PackageError(f"{text[:200]!r}... in its dependencies is longer than {LONGEST} characters")
    try:
        requirement = Requirement(text)
    except (ValueError, RecursionError):
        raise PackageError(f"{text[:200]!r} in its dependencies is no requirement; write, say, 'name>=1.2'") from None
    if requirement.url is not None:
        raise PackageError(f"{text[:200]!r} names a place; packages come from the operator's index alone")
    return requirement


def _is_there(requirement: Requirement) -> bool:
    """Whether nothing is to be installed for a requirement: a library that is offered anyway fulfils it, say."""
    there = {canonicalize_name(name): found for name, found in offered_versions().items()}
    found = there.get(canonicalize_name(requirement.name))
    try:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return True  # nothing is wanted here
        fits = found is not None and found in requirement.specifier
    except (ValueError, RecursionError):  # markers that compare texts, versions of too many digits
        raise PackageError(f"{str(requirement)[:LONGEST]!r} cannot be compared with what there is") from None
    if found is None or requirement.extras:
        return False
    if not fits:
        raise PackageError(f"it requires {requirement}; there is {requirement.name} {found}, which cannot be replaced")
    return True


def installed(wanted: Sequence[str], rules: PackageRules, user: str) -> Path:
    """Return the folder with these packages, installed at the first time for this user.

    Raises
    ------
    PackageError
        Where they cannot be found or do not fit, take too long or too much room, or the user has too many others.
    """
    key = hashlib.sha256("\n".join([platform.python_version(), rules.index, *wanted]).encode()).hexdigest()[:32]
    own = user_folder(rules.folder, user)
    folder = own / key
    if not folder.is_dir():
        own.mkdir(parents=True, exist_ok=True)
        with _alone(own / ".lock"):
            if not folder.is_dir():
                _make_room(own, rules)
                _install(wanted, rules, own, folder)
                logger.info("packages were installed for users' code: %s", ", ".join(wanted))
    with suppress(OSError):
        os.utime(folder)  # the last use
    return folder


def user_folder(folder: Path, user: str) -> Path:
    """Return the folder of a user's packages."""
    return folder / hashlib.sha256(user.encode()).hexdigest()[:32]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_room(own: Path, rules: PackageRules) -> None:
    """Remove what others left unfinished and, where a user has the most sets possible, the longest unused one."""
    for draft in own.glob(".draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    kept = sorted((path for path in own.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    while len(kept) >= rules.sets:
        oldest = kept.pop(0)
        if time.time() - oldest.stat().st_mtime < UNUSED:
            raise PackageError(
                f"you have used {rules.sets} different lists of dependencies within a day, which is the most possible; "
                "let functions share a list, or wait"
            )
        os.replace(oldest, own / f".draft-{oldest.name}")
        shutil.rmtree(own / f".draft-{oldest.name}", ignore_errors=True)


def _install(wanted: Sequence[str], rules: PackageRules, own: Path, folder: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=own))
    try:
        fixed = "".join(f"{name}=={found.partition('+')[0]}\n" for name, found in offered_versions().items())
        os.replace(fetch(wanted, fixed, rules, draft, _is_there), folder)
    except WheelError as error:
        raise PackageError(str(error)) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
