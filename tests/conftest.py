"""Fixtures for all tests: where reference data lies, models with weights from a seed."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A machine that is busy is no fault: no example has a time limit.
settings.register_profile("openeo-embed", deadline=None)
settings.load_profile("openeo-embed")

# What is imported stays: a collector that goes through it again and again takes an eighth of the tests' time.
gc.disable()

ROOT = Path(__file__).parents[1]
# Files whose tests share servers: with `--dist loadfile` one process runs them all, and each server starts once.
TOGETHER = {
    "api": "bad_input client embedding files graphs isolation jobs machine_learning remote_data spec udf",
    "api/home": "full_disk jobs_survive",
    "api/postgres": "jobs_postgres lost_database",
    "attacks": "gate secrets",
}


def pytest_collection_finish() -> None:
    """From here on, collect garbage again, but leave aside what is there already."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out tests by file, except those of `TOGETHER`."""
    from xdist.scheduler import LoadFileScheduling

    groups = {
        f"tests/{group.partition('/')[0]}/test_{name}.py": group
        for group, names in TOGETHER.items()
        for name in names.split()
    }

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return groups.get(file, file)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def _shared() -> Path:
    return Path(os.environ.get("OPENEO_EMBED_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """The folder with the published method's own numbers; tests skip where it is not."""
    folder = _shared() / "golden"
    if not folder.is_dir():
        pytest.skip(f"no reference numbers at {folder}; set OPENEO_EMBED_SHARED to their folder's parent")
    return folder


@pytest.fixture(scope="session")
def real_site() -> Path:
    """The folder with the real Sentinel-1/2 site; tests skip where it is not."""
    folder = _shared() / "data" / "flanders"
    if not folder.is_dir():
        pytest.skip(f"no real site at {folder}; set OPENEO_EMBED_SHARED to the folder above `data`")
    return folder


@pytest.fixture(scope="session")
def api_spec() -> Path:
    """The folder with the openEO API's specification; tests skip where it is not."""
    folder = _shared() / "spec"
    if not folder.is_dir():
        pytest.skip(f"no API specification at {folder}; set OPENEO_EMBED_SHARED to the folder above `spec`")
    return folder
