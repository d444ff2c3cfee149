"""Packages from an index: downloaded, read and unpacked in boxes (`udf.sandbox.errand`), then looked over.

What comes from the index is touched in these boxes alone: they see neither files nor environment of the server's, and
write to one folder. Of their answers, every word is checked.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from udf.rules import PackageRules
from udf.sandbox.errand import Errand, ErrandError
from udf.wheels import LONGEST, MOST_FILES, MOST_NEEDED, MOST_WHEELS, WheelError

ROUNDS = 12  # how deep dependencies may lie
# pip looks into those that there are for what it calls itself.
_ABOUT_SYSTEM = (
    "/etc/os-release", "/usr/lib/os-release", "/etc/lsb-release", "/etc/debian_version", "/etc/redhat-release",
)  # fmt: skip
_HTTPS, _HTTP, _DNS = 443, 80, 53
_TOLD = 600


def fetch(
    wanted: Sequence[str], fixed: str, rules: PackageRules, folder: Path, is_there: Callable[[Requirement], bool]
) -> Path:
    """Install packages with all that they depend on; return the folder with them, in `folder`.

    Parameters
    ----------
    wanted : sequence of str
        Requirements: names and versions.
    fixed : str
        Constraints for pip.
    folder : Path
        New, and for this alone.
    is_there : callable
        Whether a requirement is fulfilled already.

    Raises
    ------
    WheelError
        Where pip finds none that fit, a wheel cannot be read or asks for a place, there are too many or too large ones,
        or they take too long.
    """
    box = _Box(rules, folder, f"installing {', '.join(wanted)[:_TOLD]}")
    asked = set(wanted)
    for number in range(ROUNDS):
        place = str(folder / str(number))
        told = box.send(
            "download", {"wanted": sorted(asked), "fixed": fixed, "folder": place, "extras": _extras(asked)}
        )
        needed, wheels = _texts(told, "needed", MOST_NEEDED), _texts(told, "wheels", MOST_WHEELS)
        more = {str(need) for need in _requirements(needed) if not is_there(need)} - asked
        if not more:
            names = [str(Path(place, Path(name).name)) for name in wheels]
            box.send("unpack_all", {"wheels": names, "folder": str(folder / "packages")})
            return _taken_over(folder / "packages")
        asked |= more
    raise WheelError(f"the dependencies of {', '.join(wanted)} lie more than {ROUNDS} deep")


class _Box:
    """Sends errands on the same terms, which end by the same time."""

    def __init__(self, rules: PackageRules, folder: Path, about: str) -> None:
        self._rules, self._folder, self._about = rules, folder, about
        self._ends = time.monotonic() + rules.seconds

    def send(self, handler: str, request: dict[str, Any]) -> Any:
        """Return the answer of a function of `udf.wheels`; only `download` has the network."""
        index = self._rules.index
        local, loads = "://" not in index, handler == "download"
        errand = Errand(
            f"udf.wheels:{handler}",
            self._folder,
            readable=[*_ABOUT_SYSTEM, *([index] if local and loads else [])],
            ports=_ports(index) if loads and not local else (),
            seconds=self._ends - time.monotonic(),
            file_bytes=self._rules.bytes,
            folder_bytes=(ROUNDS + 2) * self._rules.bytes,  # wheels of each round, pip's own copies, what is unpacked
        )
        try:
            return errand.run({**request, "index": index, "bytes": self._rules.bytes})
        except ErrandError as error:
            if error.kind == "time":
                raise WheelError(f"{self._about} took more than {self._rules.seconds:.0f} seconds") from None
            if error.kind == "WheelError":
                raise WheelError(error.message) from None
            raise WheelError(f"{self._about} failed: {error.message}") from None


def _ports(index: str) -> list[int]:
    """Return where the index may be, and what it may lead to."""
    own = urlsplit(index).port
    return sorted({_HTTPS, _HTTP, _DNS, *([own] if own else [])})


def _texts(told: Any, name: str, most: int) -> list[str]:
    """Return a list of texts from an answer; whoever wrote it, it is held to that."""
    texts = told.get(name) if isinstance(told, dict) else None
    if not isinstance(texts, list) or len(texts) > most:
        raise WheelError(f"reading the packages failed: the answer has no list {name!r} of at most {most}")
    if not all(isinstance(text, str) and len(text) <= LONGEST for text in texts):
        raise WheelError(f"reading the packages failed: {name!r} has what is no text of at most {LONGEST} characters")
    return texts


def _requirements(texts: Iterable[str]) -> list[Requirement]:
    found = []
    for text in texts:
        try:
            need = Requirement(text)
        except (ValueError, RecursionError):
            raise WheelError(f"{text[:200]!r} is no requirement") from None
        if need.url is not None:
            raise WheelError(f"{text[:200]!r} names a place; packages come from the operator's index alone")
        found.append(need)
    return found


def _extras(asked: Iterable[str]) -> dict[str, list[str]]:
    extras: dict[str, set[str]] = {}
    for requirement in map(Requirement, asked):
        extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return {name: sorted(chosen) for name, chosen in extras.items()}


def _taken_over(folder: Path) -> Path:
    """Make what a box has left the server's, readable to functions; refuse all but files and folders.

    No process of the box is left that could change it meanwhile.
    """
    for number, path in enumerate(chain([folder], folder.rglob("*"))):
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) or number > 2 * MOST_FILES:
            raise WheelError("the packages hold what is neither a file nor a folder, or too much of it")
        if os.geteuid() == 0:
            os.chown(path, 0, 0, follow_symlinks=False)
        path.chmod(0o755 if stat.S_ISDIR(kind) else 0o644)
    return folder
