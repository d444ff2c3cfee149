"""Where the processes of a server keep what they compile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# The variable that names a user's folder of caches, and what is ours in it.
VARIABLE, OWN = "XDG_CACHE_HOME", "openeo-embed"


def cache_variables(environ: Mapping[str, str], data: Path) -> dict[str, str]:
    """Return the variables that lead to a cache in `data` where the user has none that can be written to.

    Users that run services often have no home: then each worker would compile for itself, at each of its starts, into a
    temporary folder that nobody removes.
    """
    given = environ.get(VARIABLE) or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    return {} if os.path.isabs(given) and _is_writable(Path(given) / OWN) else {VARIABLE: str(data / "cache")}


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
