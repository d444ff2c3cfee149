"""Models on disk: a folder each, with the card as a STAC Item (`item.json`) and `weights.safetensors`."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.card import CARD_FILE, CardError, ModelCard, check_card, read_card
from models.card_item import WEIGHTS_FILE, card_to_text
from models.folders import find_model
from models.network import TwoStageModel

NAMED = 8  # tensors in a message
RANDOM = ("normal_", "uniform_")  # what fills tensors
STAGE1 = ("encoders.", "decoders.")


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
    CardError
        The model's card cannot be used, or is that of one sensor's stage 1, which embeds nothing.
    WeightsError
        The weights' file is damaged or does not fit the card.
    """
    folder = find_model(name, folders)
    card = read_card(folder)
    if card.stage != "fusion":
        raise CardError(
            f"{card.name} is the stage 1 of {card.reference} alone and makes no embeddings: train a fusion with it"
        )
    weights = read_weights(folder, card)
    model = TwoStageModel(card)
    model.load_state_dict(weights)
    return model.to(device).eval().requires_grad_(False)


def read_weights(folder: Path, card: ModelCard) -> dict[str, Tensor]:
    """Read the weights of the model in `folder`, as float32; `WeightsError` where they are not those of its card."""
    file = folder / WEIGHTS_FILE
    try:
        digest = sha256(file)
        if digest != card.sha256:
            raise WeightsError(f"{file} has sha256 {digest}, its card says {card.sha256}: fetch or import it again")
        weights = {key: value.float() for key, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} cannot be read: {error}") from error
    check_weights(weights, card, str(file))
    return weights


def check_weights(
    weights: Mapping[str, Tensor], card: ModelCard, source: str, names: Mapping[str, str] | None = None
) -> None:
    """Raise `WeightsError` naming the tensors that `source` lacks, has too many of, or of other shapes or no numbers.

    Parameters
    ----------
    names : mapping, optional
        What the tensors are called in `source`, by our names.
    """
    expected, names = expected_shapes(card), names or {}
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    told = {key: names.get(key, key) for key in shapes}
    misshaped = [key for key in expected if key in shapes and shapes[key] != expected[key]]
    faults = {
        "lacks": [key for key in expected if key not in shapes],
        "has, but the model has not,": [told[key] for key in shapes if key not in expected],
        "has in another shape": [f"{told[k]} {shapes[k]}, not {expected[k]}" for k in misshaped],
        "has values that are no finite numbers in": [told[k] for k, v in weights.items() if not v.isfinite().all()],
    }
    found = [f"{what} {_listed(keys)}" for what, keys in faults.items() if keys]
    if found:
        raise WeightsError(f"{source} does not fit the model: it {'; it '.join(found)}")


def expected_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a model of that card; those of stage 1 have no fusion."""
    try:
        with torch.device("meta"), _Unfilled():
            state = TwoStageModel(check_card(card)).state_dict()
    except (KeyError, RuntimeError) as error:  # torch's own: names of modules that it has taken, sizes beyond its own
        raise CardError(f"no model can be built from the card of {card.name}: {error}") from error
    return {k: tuple(v.shape) for k, v in state.items() if card.stage == "fusion" or k.startswith(STAGE1)}


class _Unfilled(TorchFunctionMode):
    """Modules are built without their first values: shapes need none.

    To fill a tensor of the device "meta" with random numbers, torch imports its compiler, which takes seconds.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init" or getattr(function, "__name__", "") in RANDOM:
            return args[0] if args else given["tensor"]
        return function(*args, **given)


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor], dtype: torch.dtype) -> ModelCard:
    """Write a model's folder at once or not at all; return its card with the weights' sha256.

    An existing folder of that name is replaced.
    """
    check_weights(weights, card, f"The model for {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        temporary.chmod(0o755)
        save_file({k: v.to(dtype).contiguous() for k, v in weights.items()}, temporary / WEIGHTS_FILE)
        (temporary / WEIGHTS_FILE).chmod(0o644)
        card = replace(card, sha256=sha256(temporary / WEIGHTS_FILE), created=card.created or _now())
        text = card_to_text(
            card,
            file_size=(temporary / WEIGHTS_FILE).stat().st_size,
            parameters=sum(v.numel() for v in weights.values()),
        )
        (temporary / CARD_FILE).write_text(text, "utf-8")
        put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def sha256(file: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def put_in_place(temporary: Path, folder: Path) -> None:
    """Put `temporary` in the place of `folder`: a folder cannot be renamed over one that is not empty."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-old-"))
    os.replace(folder, old)
    temporary.rename(folder)
    shutil.rmtree(old)
