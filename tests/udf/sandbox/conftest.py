"""A sandbox for tests: its handler runs the code of the request."""

from __future__ import annotations

from pathlib import Path

import pytest

from udf.sandbox import Limits, Sandbox, offered
from udf.sandbox.limits import MIB

GUESTS = Path(__file__).parent / "guests"
LIMITS = Limits(memory=512 * MIB, cpu_seconds=30.0, wall_seconds=60.0, output_bytes=64 * MIB, scratch_bytes=16 * MIB)


@pytest.fixture(scope="session")
def opened():
    """Open a sandbox of tests' own."""
    if offered().level == "none":
        pytest.skip(offered().refusal)

    def open_one(
        limits: Limits = LIMITS, handler: str = "running_guest:run", level: str = "auto", **options
    ) -> Sandbox:
        return Sandbox(limits, handler=handler, read_only=[GUESTS], level=level, **options)

    return open_one


@pytest.fixture(scope="session", params=["namespaces", "bubblewrap", "landlock"])
def box(request, opened):
    """A warm sandbox of each level that this system offers."""
    if request.param not in offered().levels:
        pytest.skip(f"{request.param} is not offered here: {offered().reasons[request.param]}")
    with opened(level=request.param) as box:
        yield box
