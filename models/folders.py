"""Where models lie, and what they are called. No torch: the server lists models, only workers load them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from models.card import CARD_FILE

PACKAGED = Path(__file__).parent / "weights"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ModelNotFound(LookupError):
    """No model of that name; the message lists the names."""


def default_folders() -> tuple[Path, ...]:
    """The models that come with the package, then those of the data folder.

    The data folder is `OPENEO_EMBED_DATA`, else ``./data``, as on the command line. Read when asked: a notebook has
    no settings object.
    """
    return (PACKAGED, Path(os.environ.get("OPENEO_EMBED_DATA", "data")) / "models")


def list_models(folders: Sequence[Path] | None = None) -> dict[str, Path]:
    """Return every model's folder by its name. Where two folders hold one name, the first counts."""
    found: dict[str, Path] = {}
    for folder in default_folders() if folders is None else folders:
        for card in sorted(folder.glob(f"*/{CARD_FILE}")):
            if NAME.fullmatch(card.parent.name):
                found.setdefault(card.parent.name, card.parent)
    return found


def find_model(name: str | Path, folders: Sequence[Path] | None = None) -> Path:
    """Return the folder of the model called `name`; a `Path`, or a text with a separator, is a folder itself."""
    models = list_models(folders)
    if isinstance(name, str) and name in models:
        return models[name]
    if (isinstance(name, Path) or os.sep in name) and (Path(name) / CARD_FILE).is_file():
        return Path(name)
    raise ModelNotFound(f"There is no model {str(name)!r}. Models: {', '.join(sorted(models)) or 'none'}.")
