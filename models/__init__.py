"""The two-stage embedding model on torch: networks, engines, preprocessing, checkpoints, cards.

May import torch and NumPy; knows nothing of Dask, openEO or HTTP. The public names are imported on first use, so
that the parts without torch (cards, preprocessing) stay cheap for the processes that only need those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.embed import embed_cube
    from models.store import load_model

__all__ = ["embed_cube", "load_model"]


def __getattr__(name: str) -> Any:
    if name == "embed_cube":
        from models.embed import embed_cube

        return embed_cube
    if name == "load_model":
        from models.store import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
