"""Where trained models are kept: a Protocol, and a folder for each user that fulfils it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from models.mlm import sha256_of_asset

MODEL_FILE, ITEM_FILE = "model.skops", "item.json"
_ID = re.compile(r"ml-[0-9a-f]{16}")


@dataclass(frozen=True)
class StoredModel:
    """A trained model that was saved: its STAC Item, and where a worker finds its file with that SHA-256."""

    item: Mapping[str, Any]
    path: Path
    sha256: str


class ModelStore(Protocol):
    """The trained models of one user."""

    def ids(self) -> list[str]:
        """Return the ids of the models that there are."""
        ...

    def find(self, id: str) -> StoredModel | None:
        """Return a model, None where there is none of that id; ids come from strangers and are never paths."""
        ...

    def save(self, id: str, content: bytes, item: Mapping[str, Any]) -> None:
        """Keep a model under a new id, at once or not at all."""
        ...

    def used(self) -> int:
        """Return how many bytes the files of all models take."""
        ...

    def delete(self, id: str) -> bool:
        """Delete a model; whether there was one of that id."""
        ...


def new_id() -> str:
    """Return an id that no model has, and that cannot be guessed."""
    return f"ml-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class FolderStore:
    """Models in a folder: one folder each, with the model's file and its STAC Item."""

    folder: Path

    def ids(self) -> list[str]:
        """Return the ids of the models that there are, sorted."""
        found = (path.parent.name for path in self.folder.glob(f"*/{ITEM_FILE}"))
        return sorted(id for id in found if _ID.fullmatch(id))

    def find(self, id: str) -> StoredModel | None:
        """Return a model, None where there is none of that id."""
        if not _ID.fullmatch(id):
            return None
        try:
            item = json.loads((self.folder / id / ITEM_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return StoredModel(item, self.folder / id / MODEL_FILE, sha256_of_asset(item["assets"]["model"]))

    def save(self, id: str, content: bytes, item: Mapping[str, Any]) -> None:
        """Write a model to a temporary folder and rename that; FileExistsError for an id that is taken."""
        if not _ID.fullmatch(id):
            raise ValueError(f"{id!r} is no id of a model; `new_id` makes one")
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".saving-"))
        try:
            temporary.chmod(0o755)
            (temporary / MODEL_FILE).write_bytes(content)
            (temporary / ITEM_FILE).write_text(json.dumps(item, indent=2, allow_nan=False) + "\n", "utf-8")
            temporary.rename(self.folder / id)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError) and (self.folder / id).exists():
                raise FileExistsError(f"There is a model {id} already.") from error
            raise

    def used(self) -> int:
        """Return how many bytes the files of all models take."""
        used = 0
        for id in self.ids():
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                used += (self.folder / id / MODEL_FILE).stat().st_size
        return used

    def delete(self, id: str) -> bool:
        """Delete a model; whether there was one of that id."""
        if self.find(id) is None:
            return False
        # The item goes first: without it there is no model, whatever happens meanwhile.
        (self.folder / id / ITEM_FILE).unlink(missing_ok=True)
        shutil.rmtree(self.folder / id, ignore_errors=True)
        return True

    def delete_all(self) -> None:
        """Delete all models: their user is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)


def user_store(folder: Path, user: str) -> FolderStore:
    """Return the store of one user below `folder`; the user's name becomes a folder's name, whatever it holds."""
    name = f"user-{quote(user, safe='')}"
    # Names of folders end at 255 bytes.
    return FolderStore(folder / (name if len(name) <= 200 else hashlib.sha256(user.encode()).hexdigest()))
