"""What runs inside a Dask worker: the embedding of a tile, users' code in its sandbox, the models of a worker.

May import `models`; knows nothing of process graphs or HTTP. Importing it imports neither torch nor Dask: the sandbox's
side, `udf.guest`, is a part of it that must stay light; only workers run models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udf.embedding import InputError, SensorCube, embed_lazily
    from udf.model_shelf import ModelReference, ModelShelf

__all__ = ["InputError", "ModelReference", "ModelShelf", "SensorCube", "embed_lazily"]

_HOMES = {
    "InputError": "embedding",
    "ModelReference": "model_shelf",
    "ModelShelf": "model_shelf",
    "SensorCube": "embedding",
    "embed_lazily": "embedding",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f"udf.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'udf' has no attribute {name!r}")
