"""Models by name for the server, and loaded once for each worker."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.card import ModelCard, read_card
from models.folders import find_model, list_models

if TYPE_CHECKING:
    from models.embed import Embedder


SHARE = 0.3  # of a worker's memory: cubes in and out take the rest


@dataclass(frozen=True)
class ModelReference:
    """A model as it travels in a task: its card and where a worker finds the weights."""

    folder: Path
    card: ModelCard


@dataclass(frozen=True)
class ModelShelf:
    """The models that a back-end offers.

    Parameters
    ----------
    folders : sequence of Path
        Where models lie; the first folder that holds a name counts.
    default : str
        The model that is meant when none is named.
    """

    folders: Sequence[Path]
    default: str = "demo"

    def names(self) -> list[str]:
        """Return the models' names, sorted."""
        return sorted(list_models(self.folders))

    def get(self, name: str | None) -> ModelReference:
        """Return a model by its registered name alone: names come from strangers and are never paths.

        Raises
        ------
        models.folders.ModelNotFound
            The message lists the names.
        """
        folder = find_model(_plain(name or self.default), self.folders)
        return ModelReference(folder, read_card(folder))


def _plain(name: str) -> str:
    return name.replace("/", " ").replace("\\", " ")


_loaded: dict[tuple[Path, str, str], Embedder] = {}
_lock = threading.Lock()


def embedder_on_this_worker(reference: ModelReference) -> Embedder:
    """Return the model on this worker's device, with its engine; loaded on first use, one at a time."""
    import torch

    from models import load_model
    from models.embed import Embedder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with _lock:
        key = (reference.folder, reference.card.sha256, device)
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = Embedder(load_model(reference.folder, device), memory=_share_of_worker(device))
        return _loaded[key]


def _share_of_worker(device: str) -> int | None:
    """Bytes that the engine may take of a worker's memory limit; None where there is no worker, or for a GPU."""
    from distributed import get_worker

    try:
        limit = get_worker().memory_manager.memory_limit
    except ValueError:
        return None
    return int(limit * SHARE) if limit and device == "cpu" else None
