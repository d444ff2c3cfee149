"""Cards as STAC Items: what they say, what comes back, what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pystac
import pytest

from models.card import CardError, Modality, ModelCard, published_modalities, read_card
from models.card_item import card_from_item, card_from_text, card_to_item, card_to_text, parse_modality
from models.folders import PACKAGED
from models.preprocessing import PREPROCESSING, parse_steps, steps_to_json
from models.preprocessing.steps import OPERATIONS
from tests.spec.stac import stac_faults

SHA = "ab" * 32
LANDSAT = {
    "id": "l8",
    "bands": ["B04", "B05", "ST"],
    "channels": 3,
    "units": ["reflectance", "reflectance", "kelvin"],
    "preprocessing": [
        {"op": "clip", "min": 0, "max": 1, "bands": ["B04", "B05"]},
        {"op": "min_max", "min": 250.0, "max": 330.0, "bands": ["ST"]},
    ],
    "tokens": 6,
    "bottleneck": 4,
    "optional": True,
}
CARDS = {
    "published": ModelCard("mine", published_modalities(), "s2", "self", sha256=SHA, created="2026-01-02T03:04:05Z"),
    "three sensors": ModelCard(
        "3-sensors_",
        (*published_modalities(), parse_modality(LANDSAT)),
        "s2",
        size=9,
        reach_days=60,
        description="Größer",
        training={"scenes": ["a", "b"], "steps": 3},
        license="CC-BY-4.0",
        sha256=SHA,
        metrics={"s1": {"stage1": 0.01}},
        created="2026-01-02T03:04:05Z",
    ),
    "stage 1": ModelCard(
        "one", published_modalities()[:1], "s1", stage="stage1", sha256=SHA, created="2026-01-02T03:04:05Z"
    ),
    "no decoders": ModelCard(
        "bare", published_modalities(), "s2", decoders=False, sha256=SHA, created="2026-01-02T03:04:05Z"
    ),
}


@pytest.mark.parametrize("which", CARDS)
def test_a_card_comes_back_from_its_item(which):
    assert card_from_text(card_to_text(CARDS[which], file_size=5, parameters=7)) == CARDS[which]


def test_a_declared_modality_comes_back_with_its_steps():
    modality = card_from_text(card_to_text(CARDS["three sensors"])).modality("l8")
    assert modality.preprocessing == parse_steps(LANDSAT["preprocessing"], LANDSAT["bands"])
    assert modality.band_units == ("reflectance", "reflectance", "kelvin")
    assert str(modality) == "B04 (reflectance), B05 (reflectance), ST (kelvin)"
    assert str(published_modalities()[0]) == "VV, VH (linear power)"
    assert modality.optional


@pytest.mark.parametrize("which", CARDS)
def test_items_are_stac_items_with_mlm(which):
    card = CARDS[which]
    item = card_to_item(card, file_size=5, parameters=7)
    read = pystac.Item.from_dict(copy.deepcopy(item), preserve_dict=False)
    assert read.id == card.name
    asset = read.assets["weights"]
    assert asset.roles == ["mlm:model"]
    assert asset.extra_fields["file:checksum"] == "1220" + SHA
    assert [b["name"] for b in asset.extra_fields["raster:bands"]] == [b for m in card.modalities for b in m.bands]
    assert [i["input"]["shape"] for i in item["properties"]["mlm:input"]] == [
        [-1, 11, len(m.bands), 15, 15] for m in card.modalities
    ]
    (output,) = item["properties"]["mlm:output"]
    assert output["result"]["shape"] == [-1, {"stage 1": 2, "three sensors": 9}.get(which, 7)]


@pytest.mark.parametrize("which", [*CARDS, "demo"])
def test_items_are_valid_by_the_published_schemas(which, api_spec):
    item = json.loads((PACKAGED / "demo" / "item.json").read_text()) if which == "demo" else card_to_item(CARDS[which])
    assert stac_faults(item, "item", api_spec) == []


def changed(path, value):
    item = card_to_item(CARDS["three sensors"])
    *parents, last = path
    where = item
    for step in parents:
        where = where[step]
    if value is None:
        del where[last]
    else:
        where[last] = value
    return item


P, H, L8 = "properties", "mlm:hyperparameters", ("properties", "openeo_embed:modalities", 2)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stac_extensions",), [], "no STAC Item with the extension"),
        ((P,), [], "properties is"),
        ((P, "openeo_embed:modalities"), None, "openeo_embed:modalities is missing"),
        ((P, "openeo_embed:modalities"), [], "there must be some"),
        ((P, "openeo_embed:modalities", 0, "id"), "s2", "s2, s2, l8; there must be some, each with its own id"),
        ((P, H, "attention"), "batch", "attention is 'batch'; it must be one of frames, self"),
        ((P, H, "reference"), "l9", "reference 'l9' is none of the modalities"),
        ((P, H, "reference"), None, "lacks the entry reference"),
        ((P, H, "size"), 0, "size is 0; it must be a whole number"),
        ((P, H, "reach_days"), "100", "reach_days is '100'"),
        ((P, H, "stage"), "stage1", "a model of stage1 has one modality, not s1, s2, l8"),
        ((P, H, "decoders"), 1, "decoders is 1"),
        ((P, H, "layers"), 3, "unknown entries: layers"),
        ((P, "license"), "ask me", "license is 'ask me'"),
        ((P, "mlm:input", 1, "bands"), ["B02"], "mlm:input and openeo_embed:modalities name different"),
        ((*L8, "id"), "L8 SR", "modality's id is 'L8 SR'"),
        ((*L8, "bands"), ["B04", "B04", "ST"], "modality 'l8': bands is .* different names"),
        ((*L8, "channels"), 4, "modality 'l8': channels is 4, but there are 3 bands"),
        ((*L8, "units"), ["K"], "modality 'l8': units is .* 3 bands"),
        ((*L8, "tokens"), 2.5, "modality 'l8': tokens is 2.5"),
        ((*L8, "bottleneck"), None, "modality 'l8': bottleneck is None"),
        ((*L8, "optional"), "yes", "modality 'l8': optional is 'yes'"),
        ((*L8, "gain"), 1, "modality 'l8' has unknown entries: gain"),
        ((*L8, "preprocessing"), "landsat", "modality 'l8': .*'landsat'; known: sentinel1-power"),
        ((*L8, "preprocessing"), None, "modality 'l8': preprocessing is None"),
        ((*L8, "preprocessing", 1, "max"), 200, "modality 'l8': step 2 of the preprocessing: `min` is 250.0"),
        (("assets", "weights"), None, "weights is missing"),
        (("assets", "weights", "file:checksum"), SHA, "not the multihash of a SHA-256"),
        (
            ("assets", "weights", "openeo_embed:sha256"),
            "cd" * 32,
            "sha256 and file:checksum of the asset weights differ",
        ),
    ],
)
def test_entries_that_cannot_be_used_are_named(path, value, message):
    with pytest.raises(CardError, match=message):
        card_from_item(changed(path, value))


def test_files_that_are_no_cards_are_named(tmp_path):
    for text in ("", "[1]", '{"a": 1}', '{"stac_extensions": 3}'):
        (tmp_path / "item.json").write_text(text)
        with pytest.raises(CardError, match=r"item\.json is not a model card"):
            read_card(tmp_path)
    with pytest.raises(CardError, match=r"item\.json is not a model card"):
        read_card(tmp_path / "none")


def test_a_card_without_the_weights_hash_is_not_written():
    with pytest.raises(CardError, match="no sha256"):
        card_to_text(replace(CARDS["published"], sha256=""))


def test_modalities_are_hashable():
    assert len({parse_modality(LANDSAT), parse_modality(LANDSAT), *published_modalities()}) == 3
    assert Modality("s1", ("VV",), "sentinel1-power", 7, 2).band_units == ("",)


def test_the_documented_sensor_can_be_used():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    modality = parse_modality(json.loads(text.split("```json\n")[1].split("```")[0]))
    assert modality.id == "l8"
    assert all(f"| `{name}` |" in text for name in OPERATIONS)
    for name, steps in PREPROCESSING.items():
        assert f"`{name}` is " in text
        assert all(f"`{entry['op']}`" in text for entry in steps_to_json(steps, modality.bands))
