"""Models on disk: a folder each, with `card.json` and `weights.safetensors`."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.card import CARD_FILE, ModelCard, card_to_json, read_card
from models.folders import find_model
from models.network import TwoStageModel

WEIGHTS_FILE = "weights.safetensors"


class WeightsError(ValueError):
    """Weights that do not fit their card or are damaged."""


def load_model(
    name: str | Path, device: str | torch.device = "cpu", folders: Sequence[Path] | None = None
) -> TwoStageModel:
    """Load a model for inference.

    Parameters
    ----------
    name : str or Path
        A name in the model registry, or the path of a model's folder.
    device : str or torch.device
        Where the weights go.
    folders : sequence of Path, optional
        Where named models lie; by default `models.folders.default_folders`.

    Raises
    ------
    models.folders.ModelNotFound
        No such model; the message lists those that there are.
    WeightsError
        The weights' file is damaged or does not fit the card.
    """
    folder = find_model(name, folders)
    card = read_card(folder)
    model = TwoStageModel(card)
    _fill(model, read_weights(folder, card), folder)
    return model.to(device).eval().requires_grad_(False)


def read_weights(folder: Path, card: ModelCard) -> dict[str, Tensor]:
    """Read and verify the weights of the model in `folder`, as float32."""
    file = folder / WEIGHTS_FILE
    try:
        digest = sha256(file)
        if card.sha256 and digest != card.sha256:
            raise WeightsError(f"{file} has sha256 {digest}, its card says {card.sha256}: fetch or import it again")
        return {key: value.float() for key, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} cannot be read: {error}") from error


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor], dtype: torch.dtype) -> ModelCard:
    """Write a model's folder at once or not at all; return its card with the weights' sha256.

    An existing folder of that name is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _fill(TwoStageModel(card), weights, folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        temporary.chmod(0o755)
        save_file({k: v.to(dtype).contiguous() for k, v in weights.items()}, temporary / WEIGHTS_FILE)
        (temporary / WEIGHTS_FILE).chmod(0o644)
        card = replace(card, sha256=sha256(temporary / WEIGHTS_FILE))
        (temporary / CARD_FILE).write_text(card_to_json(card), "utf-8")
        _swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def sha256(file: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fill(model: TwoStageModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise WeightsError(f"The weights for {folder} do not fit their card: {error}") from error


def _swap(temporary: Path, folder: Path) -> None:
    """Put `temporary` in the place of `folder`: a folder cannot be renamed over one that is not empty."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-old-"))
    os.replace(folder, old)
    temporary.rename(folder)
    shutil.rmtree(old)
