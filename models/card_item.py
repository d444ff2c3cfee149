"""A model card as a STAC Item with the extension MLM, and back.

What MLM has a word for stands under that; the sensors, training data and metrics stand under the prefix
``openeo_embed:``. Each fact is read from one place: sensors from ``openeo_embed:modalities``, the model's own from
``mlm:hyperparameters``. ``mlm:input`` and ``mlm:output`` repeat them for other programs and must not contradict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.card import CardError, Modality, ModelCard, check_card, positive
from models.mlm import MLM, mlm_name, model_asset, model_feature, sha256_of_asset
from models.preprocessing.registry import steps_of
from models.preprocessing.steps import StepError, parse_steps, steps_to_json

WEIGHTS_FILE = "weights.safetensors"
MEDIA_TYPE = "application/octet-stream; application=safetensors"
ARCHITECTURE = {"fusion": "Two-stage multimodal fusion", "stage1": "Sensor autoencoder of a two-stage fusion"}
# MLM has no word for embedding; what embeddings are compared for is nearest.
TASKS = ["similarity-search"]
OWN = "openeo_embed:"
_WINDOW = (11, 15, 15)  # frames, rows, columns
_PARAMETERS = ("attention", "reference", "reach_days", "size", "stage", "decoders")


def card_to_item(card: ModelCard, *, file_size: int | None = None, parameters: int | None = None) -> dict[str, Any]:
    """Return the STAC Item of a card.

    Parameters
    ----------
    file_size : int, optional
        Of the weights' file, in bytes.
    parameters : int, optional
        How many weights there are.

    Raises
    ------
    CardError
        The card has no sha256: its weights were not saved.
    """
    if not card.sha256:
        raise CardError(f"the card of {card.name} has no sha256; `save_model` makes one")
    instant = card.created or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sensors = " + ".join(m.id for m in card.modalities)
    properties = {
        "title": f"{card.name}: {sensors}",
        **({"description": card.description} if card.description else {}),
        **({"license": card.license} if card.license else {}),
        "mlm:name": mlm_name(f"openeo-embed {card.name}"),
        "mlm:architecture": ARCHITECTURE[card.stage],
        "mlm:tasks": TASKS,
        "mlm:framework": "PyTorch",
        "mlm:pretrained": True,
        **({} if parameters is None else {"mlm:total_parameters": parameters}),
        "mlm:hyperparameters": {name: getattr(card, name) for name in _PARAMETERS},
        "mlm:input": [_input(m) for m in card.modalities],
        "mlm:output": [_output(card)],
        f"{OWN}modalities": [modality_to_json(m) for m in card.modalities],
        f"{OWN}training": card.training,
        f"{OWN}metrics": card.metrics,
    }
    bands = [
        {"name": name, "data_type": "float32", **({"unit": unit} if unit else {})}
        for m in card.modalities
        for name, unit in zip(m.bands, m.band_units, strict=True)
    ]
    asset = model_asset(f"./{WEIGHTS_FILE}", "Weights", "safetensors.torch.save_file", bands, file_size, card.sha256)
    return model_feature(
        card.name, instant, properties, {"weights": {**asset, "type": MEDIA_TYPE, f"{OWN}sha256": card.sha256}}
    )


def card_to_text(card: ModelCard, *, file_size: int | None = None, parameters: int | None = None) -> str:
    """The JSON text of a card's Item, ending in a newline."""
    item = card_to_item(card, file_size=file_size, parameters=parameters)
    return json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def card_from_text(text: str) -> ModelCard:
    """Read a card from the JSON text of its Item; ValueError (most often `CardError`) says what is wrong."""
    return card_from_item(json.loads(text))


def card_from_item(item: Any) -> ModelCard:
    """Build and check a card from its Item.

    Raises
    ------
    CardError
        Names the entry that is missing, of the wrong kind, unknown or in contradiction with another.
    """
    if not isinstance(item, dict) or MLM not in _entry(item, "stac_extensions", list, []):
        raise CardError(f"it is no STAC Item with the extension {MLM}")
    properties = _entry(item, "properties", dict)
    given = _entry(properties, "mlm:hyperparameters", dict)
    card = ModelCard(
        name=_entry(item, "id", str),
        modalities=tuple(parse_modality(m) for m in _entry(properties, f"{OWN}modalities", list)),
        description=_entry(properties, "description", str, ""),
        license=_entry(properties, "license", str, ""),
        training=_entry(properties, f"{OWN}training", dict, {}),
        metrics=_entry(properties, f"{OWN}metrics", dict, {}),
        created=_entry(properties, "created", str, ""),
        sha256=_sha256(_entry(_entry(item, "assets", dict), "weights", dict)),
        **_parameters(given),
    )
    check_card(card)
    inputs = _entry(properties, "mlm:input", list)
    told = [(i.get("name"), i.get("bands")) for i in inputs if isinstance(i, dict)]
    if told != [(m.id, list(m.bands)) for m in card.modalities]:
        raise CardError(f"mlm:input and {OWN}modalities name different sensors or bands")
    return card


def parse_modality(entry: Any) -> Modality:
    """Build a modality from its declaration, as it stands in a card under ``openeo_embed:modalities``.

    Raises
    ------
    CardError
        Names the entry, and the step of the preprocessing, that cannot be used.
    """
    if not isinstance(entry, Mapping):
        raise CardError(f"a modality is {entry!r}; it must be an object")
    id = _entry(entry, "id", str)
    known = {"id", "bands", "channels", "units", "preprocessing", "tokens", "bottleneck", "optional"}
    if unknown := set(entry) - known:
        raise CardError(f"modality {id!r} has unknown entries: {', '.join(sorted(map(str, unknown)))}")
    try:
        bands = _entry(entry, "bands", list)
        if not bands or not all(isinstance(b, str) and b for b in bands) or len(set(bands)) < len(bands):
            raise CardError(f"bands is {bands!r}; it must be a list of different names")
        if entry.get("channels", len(bands)) != len(bands):
            raise CardError(f"channels is {entry['channels']!r}, but there are {len(bands)} bands")
        return Modality(
            id=id,
            bands=tuple(bands),
            preprocessing=_preprocessing(entry.get("preprocessing"), bands),
            tokens=positive(entry.get("tokens"), "tokens"),
            bottleneck=positive(entry.get("bottleneck"), "bottleneck"),
            units=_units(entry.get("units", ""), len(bands)),
            optional=_entry(entry, "optional", bool, False),
        )
    except ValueError as error:
        raise CardError(f"modality {id!r}: {error}") from error


def modality_to_json(modality: Modality) -> dict[str, Any]:
    """Return a modality's declaration, which `parse_modality` takes."""
    made = modality.preprocessing
    return {
        "id": modality.id,
        "bands": list(modality.bands),
        "channels": len(modality.bands),
        "units": modality.units if isinstance(modality.units, str) else list(modality.units),
        "preprocessing": made if isinstance(made, str) else steps_to_json(made, modality.bands),
        "tokens": modality.tokens,
        "bottleneck": modality.bottleneck,
        "optional": modality.optional,
    }


def _input(modality: Modality) -> dict[str, Any]:
    frames, rows, columns = _WINDOW
    steps = modality_to_json(modality)["preprocessing"]
    return {
        "name": modality.id,
        "bands": list(modality.bands),
        "input": {
            "shape": [-1, frames, len(modality.bands), rows, columns],
            "dim_order": ["batch", "time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "pre_processing_function": {"format": "openeo-embed", "expression": steps},
    }


def _output(card: ModelCard) -> dict[str, Any]:
    size = card.size if card.stage == "fusion" else card.modalities[0].bottleneck
    return {
        "name": "embedding" if card.stage == "fusion" else "bottleneck",
        "tasks": TASKS,
        "result": {"shape": [-1, size], "dim_order": ["batch", "embedding"], "data_type": "float32"},
    }


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(given) - set(_PARAMETERS):
        raise CardError(f"mlm:hyperparameters has unknown entries: {', '.join(sorted(unknown))}")
    if "reference" not in given:
        raise CardError("mlm:hyperparameters lacks the entry reference")
    if not isinstance(given.get("decoders", True), bool):
        raise CardError(f"decoders is {given['decoders']!r}; it must be true or false")
    return dict(given)


def _preprocessing(given: Any, bands: list[str]) -> Any:
    if isinstance(given, list):
        return parse_steps(given, bands)
    if not isinstance(given, str):
        raise StepError(f"preprocessing is {given!r}; it must be a name or a list of steps")
    steps_of(given)
    return given


def _units(given: Any, bands: int) -> str | tuple[str, ...]:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and len(given) == bands and all(isinstance(u, str) for u in given):
        return tuple(given)
    raise CardError(f"units is {given!r}; it must be a text, or one for each of the {bands} bands")


def _sha256(asset: Mapping[str, Any]) -> str:
    try:
        told = sha256_of_asset(asset)
    except ValueError as error:
        raise CardError(f"the asset weights: {error}") from error
    if asset.get(f"{OWN}sha256", told) != told:
        raise CardError(f"{OWN}sha256 and file:checksum of the asset weights differ")
    return told


_MISSING = object()


def _entry(entries: Mapping[str, Any], name: str, kind: type, default: Any = _MISSING) -> Any:
    value = entries.get(name, default)
    if value is _MISSING:
        raise CardError(f"the entry {name} is missing")
    if not isinstance(value, kind):
        raise CardError(f"{name} is {value!r}; it must be of the type {kind.__name__}")
    return value
