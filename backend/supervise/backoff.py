"""How long to wait before a child that ended is started again: a pure function, the supervisor applies it."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 0.2
LONGEST = 30.0
# A child that lived so long was well: its next end is a first one.
STEADY = 60.0


@dataclass(frozen=True)
class Backoff:
    """How often in a row a child has ended soon after its start."""

    failures: int = 0

    def after_end(self, lived: float, steady: float = STEADY) -> tuple[Backoff, float]:
        """Return the next state and the seconds to wait, for a child that ended after `lived` seconds."""
        failures = 1 if lived >= steady else self.failures + 1
        return Backoff(failures), min(LONGEST, FIRST * 3 ** (failures - 1))
