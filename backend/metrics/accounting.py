"""What a computation took, told by process and kept as speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from backend.metrics.speeds import BYTES, EMBEDDINGS

if TYPE_CHECKING:
    from backend.sync.estimate import Estimate

# Processes that embed: their time is that of the embeddings.
EMBEDDING = frozenset({"multimodal_embed", "ml_predict"})
# Parts of the graph that no process has made: those between result and file, say.
OTHER = "(other)"


def by_process(spent: Mapping[str, float], made_by: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds of the workers' threads by process, most first, from those by part of the graph."""
    seconds: Counter[str] = Counter()
    for part, amount in spent.items():
        seconds[made_by.get(part, OTHER)] += amount  # type: ignore[assignment]
    return {process: round(amount, 3) for process, amount in seconds.most_common()}


def measured(cost: Estimate, seconds: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return amount and seconds of each kind of work in a computation."""
    embedding = sum(seconds.get(process, 0.0) for process in EMBEDDING) if cost.embeddings else 0.0
    rest = sum(seconds.values()) - embedding
    return {EMBEDDINGS: (cost.embeddings, embedding), BYTES: (cost.loaded_bytes, rest)}


def timings(seconds: Mapping[str, float]) -> str:
    """Return times by process as users read them."""
    told = ", ".join(f"{process} {amount:.1f} s" for process, amount in seconds.items())
    return f"Time on the workers, by process: {told}. Steps that ran as one count for the last of them."
