"""What isolation this system offers, found by trying it."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field

from udf.sandbox import bubblewrap, landlock, system
from udf.sandbox.errors import SandboxError
from udf.sandbox.family import Family, NotStarted

LEVELS = ("namespaces", "bubblewrap", "landlock")  # the best first


@dataclass(frozen=True)
class Offer:
    """What this system offers.

    Attributes
    ----------
    level : str
        The best level: "namespaces", "bubblewrap", "landlock" or "none".
    levels : tuple of str
        All that work here, the best first.
    reasons : dict
        Why each of the others does not.
    """

    level: str
    levels: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> str:
        """Why users' code does not run here, and what the operator can do."""
        why = "; ".join(f"{level}: {reason}" for level, reason in self.reasons.items())
        return (
            f"Users' code does not run here: this system offers no isolation ({why}). The operator can allow user "
            "namespaces or Landlock, or install bubblewrap; deploy/sandbox.md says how."
        )


_found: Offer | None = None
_lock = threading.Lock()


def offered() -> Offer:
    """What this system offers. Tried once for each process; never raises."""
    global _found
    with _lock:
        if _found is None:
            _found = _tried()
        return _found


def _tried() -> Offer:
    if sys.platform != "linux" or system.machine() is None:
        reason = "needs Linux on x86_64 or aarch64"
        return Offer("none", (), dict.fromkeys(LEVELS, reason))
    reasons = {level: missing for level in LEVELS if (missing := _missing(level))}
    levels = tuple(level for level in LEVELS if level not in reasons)
    return Offer(levels[0] if levels else "none", levels, reasons)


def _missing(level: str) -> str | None:
    """What keeps a level from working here, None where it works."""
    if level == "bubblewrap" and bubblewrap.program() is None:
        return "bwrap is not installed"
    if level == "landlock" and not landlock.version():
        return "the kernel offers no Landlock, or it is switched off"
    try:
        Family(level, "").close()
    except (NotStarted, SandboxError, OSError, ValueError) as error:
        return str(error)
    return None
