"""Stage-1 weights: into and out of models. A trained modality is a model folder whose card has the stage `stage1`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.card import CardError, ModelCard, read_card
from models.folders import ModelNotFound, find_model
from models.network import TwoStageModel
from models.store import WeightsError, read_weights, save_model
from models.training.errors import TrainingError
from models.training.tasks import ModalityTask


@dataclass(frozen=True)
class Trained:
    """A card and the weights that belong to it."""

    card: ModelCard
    weights: dict[str, Tensor]

    def of(self, modality: str) -> dict[str, Tensor]:
        """Return one modality's weights: ``encoder.*`` and ``decoder.*``."""
        found: dict[str, Tensor] = {}
        for kind in ("encoder", "decoder"):
            prefix = f"{kind}s.{modality}."
            found |= {f"{kind}.{k.removeprefix(prefix)}": v for k, v in self.weights.items() if k.startswith(prefix)}
        return found


def read_trained(name: str | Path, folders: Sequence[Path] | None = None) -> Trained:
    """Read a trained modality or a whole model by its name or folder; `TrainingError` where that cannot be."""
    try:
        folder = find_model(name, folders)
        card = read_card(folder)
        return Trained(card, read_weights(folder, card))
    except (CardError, ModelNotFound, WeightsError) as error:
        raise TrainingError(str(error)) from error


def fill_task(task: ModalityTask, trained: Trained) -> None:
    """Begin a stage-1 task with weights of the same modality; `TrainingError` where they do not fit."""
    weights = trained.of(task.modality.id)
    if not weights:
        known = ", ".join(m.id for m in trained.card.modalities)
        raise TrainingError(f"{trained.card.name} has no modality {task.modality.id}; it has {known}")
    try:
        task.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingError(f"The weights of {trained.card.name} do not fit {task.modality.id}: {error}") from error


def fill_model(model: TwoStageModel, parts: Sequence[Trained]) -> None:
    """Put every modality's encoder and decoder into a model, bit for bit."""
    own = model.state_dict()
    own |= {k: v for part in parts for k, v in part.weights.items() if k.split(".")[0] in ("encoders", "decoders")}
    model.load_state_dict(own)


def save_modality(folder: Path, task: ModalityTask, card: ModelCard) -> ModelCard:
    """Write a stage-1 model folder; see `models.store.save_model`."""
    weights = {}
    for name, value in task.state_dict().items():
        kind, _, rest = name.partition(".")
        weights[f"{kind}s.{task.modality.id}.{rest}"] = value.detach().cpu()
    return save_model(folder, card, weights, torch.float32)
