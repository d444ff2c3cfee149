"""Data from elsewhere through the whole server: STAC, a file, vectors; and what its operator has not permitted."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio

from tests.backend.server import Server
from tests.processes.rasters import ORIGIN, UTM, ramp
from tests.processes.site import Site
from tests.processes.stac import item, raster, static

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(remote_site: Site) -> Site:
    return remote_site


@pytest.fixture(scope="module")
def connection(generous: Server) -> openeo.Connection:
    """The openEO Python client at a server whose operator permits the site."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openeo.connect(generous.url).authenticate_basic("demo", "demo")


def two_dates(site: Site) -> str:
    items = [
        item(
            f"a{day}", f"2024-05-0{day}T10:00:00Z", {"red": raster(site, f"/{day}.tif", ramp(64, 64, start=day), "B04")}
        )
        for day in (1, 3)
    ]
    return static(site, *items)


def run(connection: openeo.Connection, graph: dict[str, Any], path: Path, format: str) -> Path:
    saved = {"data": {"from_node": list(graph)[-1]}, "format": format}
    connection.download({**graph, "save": {"process_id": "save_result", "arguments": saved, "result": True}}, path)
    return path


def test_stac_to_geotiff(connection: openeo.Connection, site: Site, tmp_path: Path) -> None:
    mean = {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
    reduce = {"data": {"from_node": "load"}, "dimension": "t", "reducer": {"process_graph": mean}}
    graph = {
        "load": {"process_id": "load_stac", "arguments": {"url": two_dates(site), "bands": ["B04"]}},
        "mean": {"process_id": "reduce_dimension", "arguments": reduce},
    }
    with rasterio.open(run(connection, graph, tmp_path / "a.tif", "GTiff")) as dataset:
        assert dataset.crs.to_epsg() == 32631
        assert (dataset.transform.c, dataset.transform.f) == ORIGIN
        np.testing.assert_array_equal(dataset.read(1), ramp(64, 64, "float32", start=2))


def test_polygons_from_a_url_on_stac(connection: openeo.Connection, site: Site, tmp_path: Path) -> None:
    west, north = ORIGIN
    ring = [[west, north], [west + 20, north], [west + 20, north - 20], [west, north - 20], [west, north]]
    fields = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": UTM}},
        "features": [
            {"type": "Feature", "properties": {"n": 7}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        ],
    }
    largest = {"m": {"process_id": "max", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
    arguments = {
        "data": {"from_node": "load"},
        "geometries": {"from_node": "wider"},
        "reducer": {"process_graph": largest},
    }
    url = site.add("/fields.json", fields)
    graph = {
        "load": {"process_id": "load_stac", "arguments": {"url": two_dates(site)}},
        "fields": {"process_id": "load_url", "arguments": {"url": url, "format": "GeoJSON"}},
        "wider": {"process_id": "vector_buffer", "arguments": {"geometries": {"from_node": "fields"}, "distance": 10}},
        "sample": {"process_id": "aggregate_spatial", "arguments": arguments},
    }
    told = json.loads(run(connection, graph, tmp_path / "a.json", "JSON").read_text())
    # The polygon of 2 x 2 pixels, widened by one: the third pixel of the third row is the largest.
    assert np.ravel(told["data"]).tolist() == [131, 133]


def test_what_the_operator_has_not_permitted(connection: openeo.Connection, site: Site, tmp_path: Path) -> None:
    for url in (
        f"http://127.0.0.1:{site.port}/collection.json",
        "https://169.254.169.254/latest",
        "https://localhost/",
    ):
        graph = {"load": {"process_id": "load_stac", "arguments": {"url": url}}}
        with pytest.raises(openeo.rest.OpenEoApiError, match="'url'") as error:
            run(connection, graph, tmp_path / "a.tif", "GTiff")
        assert error.value.code == "ProcessParameterInvalid"
        assert error.value.http_status_code == 400
