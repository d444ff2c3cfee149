"""STAC items parsed: band names, no-data, places; those of public catalogues too, where they are at hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from processes.sources.stac.bands import choose_labels, layer_of
from processes.sources.stac.item import StacItem, parse_item
from processes.sources.stac.target import target_grid
from tests.processes.stac import asset, item

HERE = "https://example.com/a/item.json"


def parse(assets: dict[str, Any], **properties: Any) -> StacItem:
    return parse_item(item("a", "2024-05-01T12:00:00+02:00", assets, **properties), HERE)


def test_times_are_utc_and_periods_begin() -> None:
    assert str(parse({}).time) == "2024-05-01T10:00:00.000000000"
    period = item("a", "", {}, start_datetime="2024-05-01T00:00:00Z", end_datetime="2024-06-01T00:00:00Z")
    period["properties"]["datetime"] = None
    assert str(parse_item(period, HERE).time).startswith("2024-05-01T00:00")


@pytest.mark.parametrize(
    ("href", "place"),
    [
        ("./b.tif?sig=x%3D", "https://example.com/a/b.tif?sig=x%3D"),
        ("../b.tif", "https://example.com/b.tif"),
        ("/b.tif", "https://example.com/b.tif"),
        ("https://other.org/b.tif", "https://other.org/b.tif"),
    ],
)
def test_places_are_relative_to_the_item(href: str, place: str) -> None:
    assert parse({"x": asset(href)}).layers[0].href == place


def test_alternate_places_on_the_web() -> None:
    aside = {"s3": {"href": "s3://bucket/b.tif"}, "web": {"href": "https://example.com/b.tif"}}
    assert parse({"x": asset("s3://bucket/b.tif", alternate=aside)}).layers[0].href == "https://example.com/b.tif"
    assert not parse({"x": asset("s3://bucket/b.tif"), "y": asset("file:///etc/passwd")}).layers


@pytest.mark.parametrize(
    ("kind", "href", "is_raster"),
    [
        ("image/tiff; application=geotiff", "/x", True),
        ("image/jp2", "/x", True),
        ("application/json", "/x.tif", False),
        ("image/jpeg", "/x.jpg", False),
        (None, "/x.TIF?token=1", True),
        (None, "/x.nc", False),
        ("application/x-hdf5", "/x.h5", False),
    ],
)
def test_which_assets_are_rasters(kind: str | None, href: str, is_raster: bool) -> None:
    assert bool(parse({"x": {"href": href, **({"type": kind} if kind else {})}}).layers) is is_raster


@pytest.mark.parametrize(
    ("more", "nodata"),
    [
        ({"nodata": 0}, 0),
        ({"bands": [{"name": "a", "nodata": -9999}]}, -9999),
        ({"eo:bands": [{"name": "a"}], "raster:bands": [{"nodata": 255}]}, 255),
        ({"raster:bands": [{"nodata": "nan"}]}, math.nan),
        ({"raster:bands": [{"nodata": "-inf"}]}, -math.inf),
        ({"raster:bands": [{"scale": 0.1, "offset": 2}]}, None),
        ({}, None),
    ],
)
def test_no_data(more: dict[str, Any], nodata: float | None) -> None:
    found = parse({"x": asset("/x.tif", **more)}).layers[0].nodata
    assert found == nodata or (nodata is not None and math.isnan(nodata) and found is not None and math.isnan(found))


def test_projection_of_the_item_counts_where_the_asset_has_none() -> None:
    own = {"proj:epsg": 4326, "proj:transform": [1, 0, 2, 0, -1, 3, 0, 0, 1]}
    layers = parse(
        {"x": asset("/x.tif"), "y": asset("/y.tif", **own)},
        **{"proj:code": "EPSG:32631", "proj:transform": [10, 0, 500000, 0, -10, 6000000], "proj:shape": [2, 3]},
    ).layers  # fmt: skip
    assert layers[0].crs == "EPSG:32631"
    assert layers[0].bounds == (500000, 5999980, 500030, 6000000)
    assert layers[1].crs == "EPSG:4326"
    assert layers[1].transform == (1, 0, 2, 0, -1, 3)


def _real(api_spec: Path, name: str) -> list[StacItem]:
    path = api_spec.parent / "data" / "stac_items" / name
    if not path.is_file():
        pytest.skip(f"no {path}: items of public catalogues are not at hand")
    document = json.loads(path.read_text(encoding="utf-8"))
    listed = document if isinstance(document, list) else document.get("features", [document])
    return [parse_item(one, HERE) for one in listed]


@pytest.mark.parametrize(
    ("name", "asked", "labels", "resolution", "nodata"),
    [
        ("earth_search_sentinel-2-l2a_item.json", ["red", "scl"], ["red", "scl"], [10, 20], [0, 0]),
        ("cdse_sentinel-2-l2a_search.json", ["B02", "B02_20m", "SCL_20m"], None, [10, 20, 20], [0, 0, 0]),
        ("cdse_sentinel-2-l2a_search.json", ["nir"], ["B08"], [10], [0]),
        ("planetary_computer_sentinel-2-l2a_search.json", ["B04", "SCL"], None, [10, 20], [None, None]),
        ("aws_sentinel-1-rtc_item.json", ["gamma0_vv", "gamma0_vh"], None, [20, 20], [0, 0]),
        ("planetary_computer_sentinel-1-grd_items.json", ["vv", "vh"], None, None, None),
    ],
)
def test_public_catalogues(
    api_spec: Path, name: str, asked: list[str], labels: Any, resolution: list[float] | None, nodata: Any
) -> None:
    items = _real(api_spec, name)
    chosen = choose_labels(items, asked, {})
    assert chosen == (labels or asked)
    layers = [layer_of(items[0], label) for label in chosen]
    assert all(layer is not None and layer.href.startswith("https://") for layer in layers)
    if resolution is not None:
        assert [layer.resolution for layer in layers if layer] == resolution
        assert [layer.nodata for layer in layers if layer] == nodata
        placed = [layer for layer in layers if layer is not None and layer.transform is not None]
        grid, _ = target_grid(placed, [b for i in items if (b := i.bbox)], None, 0)
        assert grid.step[0] == min(resolution)
        assert grid.crs.startswith("EPSG:32")


@pytest.mark.parametrize(
    "name",
    [
        "earth_search_sentinel-2-l2a_item.json",
        "cdse_sentinel-2-l2a_search.json",
        "planetary_computer_sentinel-2-l2a_search.json",
    ],
)
def test_all_bands_of_public_catalogues_have_distinct_names(api_spec: Path, name: str) -> None:
    items = _real(api_spec, name)
    labels = choose_labels(items, None, {})
    assert len(labels) >= 12
    assert max(Counter(labels).values()) == 1
    assert not {"visual", "thumbnail", "preview"} & set(labels)
