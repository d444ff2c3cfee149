"""A guard against computing too early."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import pytest

from tests.processes.site import Site, serve


@pytest.fixture
def no_compute() -> Iterator[None]:
    """Make computing an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on loopback."""
    with serve() as running:
        yield running
