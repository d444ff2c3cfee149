"""`save_ml_model` and `load_ml_model`: models that outlive the graph that trained them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask

from models.folders import ModelNotFound
from models.mlm import MLM
from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.machine_learning._skops import from_bytes, to_bytes
from processes.machine_learning.item import card_of, model_item
from processes.machine_learning.models import FittedModel, ModelCard, ModelHandle
from processes.machine_learning.store import MODEL_FILE, ModelStore, new_id
from processes.save import Attachment, SaveRequest

SAVE, LOAD = "save_ml_model", "load_ml_model"
LARGEST_ITEM = 4 << 20  # bytes


@dataclass(frozen=True)
class PackedModel:
    """A fitted model as workers hand it back: the content of its file, and the classes it knows."""

    content: bytes
    classes: list[int]


@dataclass(frozen=True, eq=False)
class ModelSaveRequest(SaveRequest):
    """The value of a graph that ends in `save_ml_model`: `data`, still lazy, is a `PackedModel`.

    What is delivered is the model's STAC Item; its asset's href is relative to it.
    """

    id: str = field(default_factory=new_id)
    card: ModelCard = field(kw_only=True)
    store: ModelStore = field(kw_only=True)

    def finish(self, computed: PackedModel) -> dict[str, Any]:
        """Keep the model for its user and return its STAC Item."""
        item = model_item(self.id, self.card, computed.content, computed.classes, datetime.now(UTC))
        self.store.save(self.id, computed.content, item)
        return item

    def about(self) -> Mapping[str, Any]:
        """Return what tells the file of the STAC Item from data."""
        return {"type": "application/geo+json", "roles": ["metadata"], "title": f"STAC Item (MLM) of {self.id}"}

    def attachments(self, computed: PackedModel, written: dict[str, Any]) -> Mapping[str, Attachment]:
        """Return the model's file, where the Item that was written says it lies."""
        about = {key: value for key, value in written["assets"]["model"].items() if key != "href"}
        return {MODEL_FILE: Attachment(computed.content, about)}


def save_ml_model(data: Any, options: Mapping[str, Any] | None = None, *, env: Environment) -> ModelSaveRequest:
    """Save a trained model for its user.

    Nothing is computed here. The result of the graph is the model's STAC Item, whose id `load_ml_model` takes.

    Parameters
    ----------
    data : FittedModel
    options : mapping, optional
        There are none.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid; FeatureUnsupported where the back-end keeps no models.
    """
    if isinstance(data, ModelHandle):
        raise invalid("data", SAVE, f"'{data.name}' is one of the back-end's own models; load it by its name")
    if not isinstance(data, FittedModel):
        raise invalid("data", SAVE, "it is no model; pass what a process such as ml_fit_class_random_forest returned")
    if options:
        raise invalid("options", SAVE, f"there is no option {', '.join(map(str, options))}; leave it out")
    packed = dask.delayed(pack, pure=True)(data.estimator)
    return ModelSaveRequest(packed, "JSON", card=data.card, store=_store(env, SAVE))


def load_ml_model(uri: str, *, env: Environment) -> FittedModel | ModelHandle:
    """Load a model that this user saved, or one of the back-end's embedding models.

    Parameters
    ----------
    uri : str
        The id of a saved model, the URL of the results of the batch job that saved it, or the name of an embedding
        model.

    Raises
    ------
    OpenEOError
        ModelNotFound lists ids and names; ProcessParameterInvalid for any other URL; StorageFailure (while computing)
        when the file is damaged.
    """
    if not isinstance(uri, str) or not uri.strip():
        raise invalid("uri", LOAD, f"{str(uri)[:100]!r} is neither the id of a saved model nor a model's name")
    uri = _saved_by_job(uri, env) if "://" in uri else uri
    stored = env.ml_models.find(uri) if env.ml_models is not None else None
    if stored is not None:
        load = dask.delayed(read_estimator, pure=True)
        return FittedModel(card_of(dict(stored.item)), load(stored.path, stored.sha256))
    try:
        env.models.get(uri)
    except ModelNotFound as error:
        ids = ", ".join(env.ml_models.ids()) if env.ml_models is not None else ""
        raise OpenEOError("ModelNotFound", f"{error} Models that you saved: {ids or 'none'}.") from error
    return ModelHandle(uri)


def _saved_by_job(url: str, env: Environment) -> str:
    """Return the id of the model that a batch job saved; the URL is that of its results, or of the model's Item there.

    Nothing is fetched. Models of other servers are not taken: an estimator's file is code in disguise, and an
    embedding model is the operator's to bring in, who looks at where it comes from.
    """
    results = env.results.at(url) if env.results is not None else None
    if results is None:
        reason = (
            "it is no URL of results of this back-end that you may read. Models are not loaded from other servers; the "
            "operator brings an embedding model in with `openeo-embed model import`"
        )
        raise invalid("uri", LOAD, f"{url[:100]!r} names no model: {reason}")
    for name, about in results.assets.items():
        if "json" in str(about.get("type", "")):
            with results.open(name) as file:
                id = _id_of_item(file.read(LARGEST_ITEM))
            if id is not None:
                return id
    raise invalid("uri", LOAD, f"the batch job of {url[:100]!r} has saved no model")


def _id_of_item(content: bytes) -> str | None:
    """The id of a model's STAC Item; None where it is something else."""
    try:
        item = json.loads(content)
        return str(item["id"]) if MLM in item["stac_extensions"] else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def pack(estimator: Any) -> PackedModel:
    """Return a fitted estimator as a file's content."""
    if hasattr(estimator, "n_clusters"):
        return PackedModel(to_bytes(estimator), list(range(int(estimator.n_clusters))))
    return PackedModel(to_bytes(estimator), [int(label) for label in getattr(estimator, "classes_", [])])


def read_estimator(path: Path, sha256: str) -> Any:
    """Return the estimator of a file, which must be the one that was saved."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"The file of the saved model cannot be read ({error.strerror}). Train and save it again."
        raise OpenEOError("StorageFailure", message) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        message = "The file of the saved model is damaged: it is not what was saved. Train and save it again."
        raise OpenEOError("StorageFailure", message)
    return from_bytes(content)


def _store(env: Environment, process: str) -> ModelStore:
    if env.ml_models is None:
        raise OpenEOError(
            "FeatureUnsupported", f"This back-end keeps no models, so '{process}' has nowhere to save to."
        )
    return env.ml_models
