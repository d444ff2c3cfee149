"""The machine that a benchmark ran on, as its report names it."""

from __future__ import annotations

import os


def this_machine() -> str:
    """Name processor, cores and memory."""
    from models.benchmark import processor  # after the measurements: it brings torch

    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{processor()}, {os.cpu_count()} cores, {gibibytes:.0f} GiB of memory"
