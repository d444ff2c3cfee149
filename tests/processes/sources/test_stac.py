"""The collections' metadata against the schemas of STAC and of the openEO API, and as clients read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, FormatChecker
from openeo.metadata import CollectionMetadata
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from processes.sources import CollectionSource, LoadRequest, open_source
from tests.processes.sources.archives import SCL, Stored
from tests.spec.stac import stac_faults


@pytest.fixture(params=["zarr", "classes", "optical", "radar"])
def source(request: pytest.FixtureRequest, archive: Path, patch: Path, tmp_path: Path) -> CollectionSource:
    """Sources with and without optical bands, classes and orbits."""
    if request.param == "classes":
        one_date = Stored(times=("2022-01-01",), bands=[SCL], offset=(), properties={})
        return open_source(one_date.write(tmp_path / "LAND_COVER.zarr", identifier="LAND_COVER"))[0]
    if request.param == "zarr":
        return open_source(archive)[0]
    return open_source(patch)[request.param == "radar"]


def problems(document: Any, schema: dict[str, Any], registry: Registry[Any]) -> list[str]:
    validator = Draft7Validator(schema, registry=registry, format_checker=FormatChecker())
    return [f"{'/'.join(map(str, error.path))}: {error.message[:200]}" for error in validator.iter_errors(document)]


def test_valid_by_the_schemas_of_stac_and_its_extensions(source: CollectionSource, api_spec: Path) -> None:
    assert stac_faults(source.metadata(), "collection", api_spec) == []


def nullable(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema in JSON schema's own words.

    `oneOf` becomes `anyOf`: a range of a summary is both of the API's alternatives, statistics and a JSON schema.
    """
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {"oneOf": "anyOf"}
    plain = {words.get(key, key): nullable(value) for key, value in schema.items() if key != "nullable"}
    if schema.get("nullable") is True and "type" in plain:
        plain["type"] = [plain["type"], "null"]
    return plain


def test_valid_by_the_openeo_api(source: CollectionSource, api_spec: Path) -> None:
    contents = nullable(yaml.safe_load((api_spec / "openapi.yaml").read_text()))
    registry = Registry().with_resource("urn:api", Resource.from_contents(contents, default_specification=DRAFT7))
    document = source.metadata()
    assert problems(document, {"$ref": "urn:api#/components/schemas/collection"}, registry) == []
    for name, kind in (("x", "spatial"), ("y", "spatial"), ("t", "temporal"), ("bands", "bands")):
        schema = {"$ref": f"urn:api#/components/schemas/dimension_{kind}"}
        assert problems(document["cube:dimensions"][name], schema, registry) == []


def test_no_scale_no_offset_no_null(source: CollectionSource) -> None:
    text = json.dumps(source.metadata())
    assert "scale" not in text
    assert "offset" not in text
    assert text.count("null") == text.count('"step": null') == 1


def test_the_openeo_client_understands_it(source: CollectionSource) -> None:
    understood = CollectionMetadata(source.metadata())
    assert set(understood.dimension_names()) == {"x", "y", "t", "bands"}
    assert understood.band_names == source.metadata()["cube:dimensions"]["bands"]["values"]


def test_bands_have_units_ranges_and_common_names(archive: Path) -> None:
    summaries = open_source(archive)[0].metadata()["summaries"]
    red = summaries["bands"][0]
    assert (red["name"], red["unit"], red["data_type"], red["nodata"]) == ("B04", "1", "float32", "nan")
    assert red["statistics"] == {"minimum": 0.0, "maximum": 1.0}
    assert red["eo:common_name"] == summaries["eo:bands"][0]["common_name"] == "red"
    classes = summaries["bands"][2]["classification:classes"]
    assert classes[1] == {"value": 4, "name": "vegetation", "description": "vegetation", "color_hint": "00A000"}


def test_items_are_summarised(archive: Path) -> None:
    summaries = open_source(archive)[0].metadata()["summaries"]
    assert summaries["eo:cloud_cover"] == {"minimum": 10.0, "maximum": 60.0}
    assert summaries["sat:relative_orbit"] == [22, 122]
    assert summaries["platform"] == ["sentinel-2a", "sentinel-2b"]
    assert summaries["gsd"] == [10]


def test_ranges_of_a_patch_are_those_of_its_values(patch: Path) -> None:
    source = open_source(patch)[0]
    cube = source.load(LoadRequest(bands=("B05",))).compute()
    band = next(b for b in source.metadata()["summaries"]["bands"] if b["name"] == "B05")
    assert band["statistics"] == {"minimum": float(cube.min()), "maximum": float(cube.max())}
