"""A trained model as a STAC Item with the extension MLM, for whoever finds the file without this server."""

from __future__ import annotations

import hashlib
from datetime import datetime
from importlib.metadata import version
from typing import Any

from models.mlm import model_asset, model_feature
from processes.machine_learning.models import ModelCard
from processes.machine_learning.store import MODEL_FILE

MEDIA_TYPE = "application/zip; application=skops"


def model_item(id: str, card: ModelCard, content: bytes, classes: list[int], created: datetime) -> dict[str, Any]:
    """Return the STAC Item of a model.

    Parameters
    ----------
    id : str
    card : ModelCard
    content : bytes
        The model's file.
    classes : list of int
        The numbers that a classification can return; empty for other models.
    created : datetime
        In UTC.
    """
    instant = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return model_feature(id, instant, _described(id, card, classes), {"model": _asset(card, content)}, card.bbox)


def card_of(item: dict[str, Any]) -> ModelCard:
    """Return the card that an item was made from."""
    properties = item["properties"]
    return ModelCard(
        task=properties["openeo_embed:task"],
        method=properties["mlm:architecture"],
        features=tuple(properties["mlm:input"][0]["bands"]),
        classes=tuple(properties["openeo_embed:classes"]),
        options=properties["mlm:hyperparameters"],
        bbox=tuple(item["bbox"]) if "bbox" in item else None,
    )


def _described(id: str, card: ModelCard, classes: list[int]) -> dict[str, Any]:
    # MLM has no word for clustering; numbering groups is nearest to this one.
    task = "classification" if card.task == "clustering" else card.task
    output = {
        "name": "predictions",
        "tasks": [task],
        "result": {"shape": [-1, 1], "dim_order": ["batch", "predictions"], "data_type": "float32"},
        "classification:classes": _classes(card, classes),
    }
    return {
        "title": f"{card.method} ({card.task})",
        "description": f"{card.method} for {card.task}, trained by a process graph on {len(card.features)} features.",
        "mlm:name": f"{card.method} {id}",
        "mlm:architecture": card.method,
        "mlm:tasks": [task],
        "mlm:framework": "scikit-learn",
        "mlm:framework_version": version("scikit-learn"),
        "mlm:pretrained": True,
        "mlm:hyperparameters": dict(card.options),
        "mlm:input": [
            {
                "name": "features",
                "bands": list(card.features),
                "input": {"shape": [-1, len(card.features)], "dim_order": ["batch", "bands"], "data_type": "float32"},
            }
        ],
        "mlm:output": [output],
        "openeo_embed:task": card.task,
        "openeo_embed:classes": list(card.classes),
    }


def _classes(card: ModelCard, classes: list[int]) -> list[dict[str, Any]]:
    titles = dict(enumerate(card.classes))
    named = ((value, titles.get(value, f"Class {value}")) for value in classes)
    return [{"value": value, "name": f"class_{value}", "description": title} for value, title in named]


def _asset(card: ModelCard, content: bytes) -> dict[str, Any]:
    bands = [{"name": name, "data_type": "float32"} for name in card.features]
    digest = hashlib.sha256(content).hexdigest()
    title = "The fitted scikit-learn object"
    asset = model_asset(f"./{MODEL_FILE}", title, "skops.io.dump", bands, len(content), digest)
    return {**asset, "type": MEDIA_TYPE}
