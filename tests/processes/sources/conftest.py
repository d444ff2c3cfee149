"""Fixtures for sources: tiny archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from processes.sources import CollectionSource, open_source
from tests.processes.sources.archives import Patch, Stored


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Zarr collection of 4 dates and 32 x 32 pixels; baseline 04.00 begins with the third date."""
    return Stored().write(tmp_path_factory.mktemp("archive") / "SENTINEL2_L2A.zarr")


@pytest.fixture(scope="session")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WorldCereal patch of 8 x 8 pixels."""
    return Patch().write(tmp_path_factory.mktemp("patches") / "site-1")


@pytest.fixture
def stored(archive: Path) -> CollectionSource:
    """The source of `archive`."""
    return open_source(archive)[0]
