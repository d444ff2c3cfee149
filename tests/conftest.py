"""Fixtures for all tests: where reference data lies, models with weights from a seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy is no fault: no example has a time limit.
settings.register_profile("openeo-embed", deadline=None)
settings.load_profile("openeo-embed")

ROOT = Path(__file__).parents[1]


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
