"""Models by name for the server, and loaded once for each worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.card import CardError, ModelCard, read_card
from models.folders import ModelNotFound, list_models
from udf.cluster import note

if TYPE_CHECKING:
    from models.embed import Embedder


logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
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
        """Return the names of the models that make embeddings, sorted."""
        return sorted(name for name, folder in list_models(self.folders).items() if _usable(folder))

    def get(self, name: str | None) -> ModelReference:
        """Return a model by its registered name alone: names come from strangers and are never paths.

        Raises
        ------
        models.folders.ModelNotFound
            There is none, its card is damaged, or it makes no embeddings; the message lists the names.
        """
        wanted = _plain(name or self.default)
        folder = list_models(self.folders).get(wanted)
        card = _usable(folder) if folder else None
        if folder is None or card is None:
            about = "There is no model" if folder is None else "Its card is damaged, or it makes no embeddings: model"
            raise ModelNotFound(f"{about} {wanted!r}. Models: {', '.join(self.names()) or 'none'}.")
        return ModelReference(folder, card)


def _usable(folder: Path) -> ModelCard | None:
    """The card of a model that makes embeddings; None for one of stage 1, or a damaged card."""
    try:
        card = read_card(folder)
    except CardError as error:
        logger.warning("%s", error)
        return None
    return card if card.stage == "fusion" else None


def _plain(name: str) -> str:
    return name.replace("/", " ").replace("\\", " ")


_loaded: dict[tuple[Path, str, str], Embedder] = {}
_lock = threading.Lock()
_idle: threading.Timer | None = None


def embedder_on_this_worker(reference: ModelReference) -> Embedder:
    """Return the model on this worker's device, with its engine.

    Loaded on first use, one at a time; let go of when another is needed, or none was for `IDLE_SECONDS`.
    """
    import torch

    from models import load_model
    from models.embed import Embedder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with _lock:
        key = (reference.folder, reference.card.sha256, device)
        if key not in _loaded:
            _loaded.clear()
            started = time.monotonic()
            network = load_model(reference.folder, device)
            took = time.monotonic() - started
            logger.info("the model %s was loaded on %s in %.1f s", reference.card.name, device, took)
            _loaded[key] = Embedder(network, memory=_share_of_worker(device), halved=_tell_halved)
        _wait_for_idleness()
        return _loaded[key]


def _wait_for_idleness() -> None:
    global _idle
    if _idle is not None:
        _idle.cancel()
    _idle = threading.Timer(IDLE_SECONDS, _let_go)
    _idle.daemon = True
    _idle.start()


def _let_go() -> None:
    """Forget the model; a task that still runs keeps it until it ends."""
    import torch

    with _lock:
        _loaded.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tell_halved(side: int) -> None:
    note("warning", f"The GPU's memory did not do for a tile; tiles of {side} x {side} pixels are tried from now on.")


def _share_of_worker(device: str) -> int | None:
    """Bytes that the engine may take of a worker's memory limit; None where there is no worker, or for a GPU."""
    from distributed import get_worker

    try:
        limit = get_worker().memory_manager.memory_limit
    except ValueError:
        return None
    return int(limit * SHARE) if limit and device == "cpu" else None
