"""Who goes first where processor time is scarce: answering goes before computing."""

from __future__ import annotations

import contextlib
import os

# Of 19: beside a process at 0, one at 5 gets a quarter of a core that both want, and all of an idle one.
COMPUTING = 5


def give_way() -> None:
    """Let this process, and those that it starts, compute when nobody waits for an answer."""
    with contextlib.suppress(OSError, AttributeError):  # where the system has or allows no such thing
        os.nice(COMPUTING)
