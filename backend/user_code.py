"""Users' code as the server's settings have it: whether it is run, with which limits, and what `/udf_runtimes` says."""

from __future__ import annotations

import platform
import shutil
from typing import Any

from backend.settings import Settings
from processes.udf.source import RUNTIME
from udf.packages import offered_versions, user_folder
from udf.rules import PackageRules, UserCodeRules


def user_code_rules(settings: Settings) -> UserCodeRules:
    """Return the rules for users' code; where it is not run, they say why."""
    packages = None
    if settings.udf_packages is not None:
        packages = PackageRules(settings.udf_packages, settings.udf_packages_folder)
    return UserCodeRules(
        refused=_refused(settings),
        unsafe=settings.udf == "unsafe",
        memory=settings.udf_memory,
        cpu_seconds=settings.udf_seconds,
        wall_seconds=2 * settings.udf_seconds,  # on a busy machine
        packages=packages,
        models=(settings.data / "models",) if settings.udf_models else None,
    )


def _refused(settings: Settings) -> str | None:
    if settings.udf == "off":
        return "its operator has switched it off (OPENEO_EMBED_UDF)."
    if settings.udf == "unsafe":
        return None
    from udf.sandbox import offered

    offer = offered()
    return None if offer.level != "none" else offer.refusal


def runtimes(rules: UserCodeRules | None) -> dict[str, Any]:
    """Return the answer of `/udf_runtimes`: Python with its version and libraries, nothing where no code is run."""
    if rules is None or rules.refused is not None:
        return {}
    libraries = {name: {"version": version} for name, version in sorted(offered_versions().items())}
    release = platform.python_version()
    short = ".".join(release.split(".")[:2])
    more = (
        " A block of script metadata (PEP 723) may ask for further packages, of which wheels are installed."
        if rules.packages
        else ""
    )
    description = (
        "Python, in a sandbox without network, with the entry points of the openEO Python client: `apply_datacube`, "
        f"`apply_timeseries`, `apply_udf_data`, `apply_vectorcube` and `apply_metadata`.{more}"
    )
    python = {
        "title": f"Python {short}",
        "description": description,
        "type": "language",
        "default": short,
        "versions": {name: {"libraries": libraries} for name in (short, release)},
        "links": [
            {
                "href": "https://open-eo.github.io/openeo-python-client/udf.html",
                "rel": "about",
                "title": "User-defined functions in the openEO Python client",
            }
        ],
    }
    return {RUNTIME: python}


def remove_packages(settings: Settings, user: str) -> None:
    """Remove the packages that were installed for a user."""
    shutil.rmtree(user_folder(settings.udf_packages_folder, user), ignore_errors=True)
