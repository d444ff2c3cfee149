"""Trained models as files that are listed, downloaded and deleted, but not uploaded: `ml_models/ID.skops`."""

from __future__ import annotations

import contextlib
import re

from backend.files.workspace import StoredFile
from processes.machine_learning.store import ModelStore

FOLDER = "ml_models"
_PATH = re.compile(rf"{FOLDER}/(ml-[0-9a-f]+)\.skops")


def is_reserved(path: str) -> bool:
    """Whether a path belongs to the models: nothing can be uploaded there."""
    return path == FOLDER or path.startswith(f"{FOLDER}/")


def model_at(path: str) -> str | None:
    """Return the id of the model of which a path is the file; None for other paths."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def model_files(store: ModelStore) -> list[StoredFile]:
    """Return the files of all models, sorted by path."""
    files = []
    for id in store.ids():
        model = store.find(id)
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            if model is not None:
                status = model.path.stat()
                files.append(StoredFile(f"{FOLDER}/{id}.skops", status.st_size, status.st_mtime))
    return files
