"""A forest trained, saved and used again over HTTP; groups and ready-made processes with the real client and server."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import xarray as xr
from openeo.rest import OpenEoApiError
from sklearn.ensemble import RandomForestClassifier

from processes.ready_made import CATEGORY, read_ready_made
from processes.sources import FileCatalog, LoadRequest, parse_bbox, parse_interval
from tests.api.conftest import USER
from tests.backend.server import Server

AREA = {"west": 679100, "south": 5151100, "east": 679300, "north": 5151260, "crs": "EPSG:32632"}
DATES = ["2022-06-01", "2022-08-01"]
BANDS = ("B02", "B04", "B08", "B11")
CLEAR = (2, 4, 5, 6, 7, 11)
CRS = {"type": "name", "properties": {"name": "EPSG:32632"}}


@pytest.fixture(scope="module")
def composite(data: Path) -> xr.DataArray:
    """The median of clear dates, (bands, y, x), read without the server."""
    source = FileCatalog(data / "catalog.json").get("SENTINEL2_L2A")
    cube = source.load(LoadRequest(parse_bbox(AREA), parse_interval(DATES), (*BANDS, "SCL"))).compute()
    clear = np.isin(cube.sel(bands="SCL"), CLEAR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # medians of nothing
        return cube.sel(bands=list(BANDS)).where(clear[:, None]).median("t")


@pytest.fixture(scope="module")
def sites(data: Path) -> dict[str, Any]:
    """Forty training sites: pixel centres with their land cover."""
    source = FileCatalog(data / "catalog.json").get("LAND_COVER")
    land = source.load(LoadRequest(parse_bbox(AREA))).compute().squeeze(drop=True)
    places = np.random.default_rng(1).permutation(land.size)[:40]
    rows, columns = np.unravel_index(places, land.shape)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [float(land["x"][c]), float(land["y"][r])]},
            "properties": {"target": int(land[r, c])},
        }
        for r, c in zip(rows, columns, strict=True)
    ]
    return {"type": "FeatureCollection", "crs": CRS, "features": features}


def masked(connection: openeo.Connection) -> openeo.DataCube:
    """The same composite by a ready-made process."""
    s2 = connection.load_collection("SENTINEL2_L2A", AREA, DATES, [*BANDS, "SCL"])
    return connection.datacube_from_process("cloud_masked_composite", data=s2)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32632
        return file.read(), [name or "" for name in file.descriptions]


def test_ready_made_processes_are_listed(connection: openeo.Connection) -> None:
    listed = {process["id"]: process for process in connection.list_processes()}
    ours = {id for id, process in listed.items() if CATEGORY in process.get("categories", [])}
    assert ours == {spec["id"] for spec in read_ready_made()}
    for id in ours:
        assert listed[id]["process_graph"]
        assert "namespace" not in listed[id]


def test_a_ready_made_process_over_http(connection, composite, tmp_path):
    masked(connection).download(tmp_path / "composite.tif", format="GTiff")
    values, names = read(tmp_path / "composite.tif")
    assert names == list(BANDS)
    np.testing.assert_allclose(values, composite.values, rtol=0, atol=1e-6, equal_nan=True)


@pytest.fixture(scope="module")
def item(connection: openeo.Connection, sites: dict[str, Any]) -> dict[str, Any]:
    """What the server answers to a request that trains and saves a forest."""
    samples = masked(connection).aggregate_spatial(sites, "mean")
    fit = connection.datacube_from_process(
        "ml_fit_class_random_forest", predictors=samples, target=sites, max_variables="sqrt", num_trees=30, seed=7
    )
    answer = connection.datacube_from_process("save_ml_model", data=fit).execute()
    assert isinstance(answer, dict)
    return answer


def test_a_forest_is_trained_saved_and_used_by_a_later_request(connection, composite, sites, item, tmp_path):
    assert item["type"] == "Feature"
    assert item["properties"]["mlm:input"][0]["bands"] == list(BANDS)
    west, south, east, north = item["bbox"]
    assert west < east
    assert south < north
    model = connection.datacube_from_process("load_ml_model", uri=item["id"])
    predicted = connection.datacube_from_process(
        "ml_predict", data=masked(connection), model=model, dimensions=["bands"]
    )
    predicted.download(tmp_path / "classes.tif", format="GTiff")
    values, _ = read(tmp_path / "classes.tif")
    points = [feature["geometry"]["coordinates"] for feature in sites["features"]]
    x, y = (xr.DataArray([point[i] for point in points], dims="site") for i in (0, 1))
    rows = composite.sel(x=x, y=y).transpose("site", "bands").values.astype(np.float64)
    targets = np.array([feature["properties"]["target"] for feature in sites["features"]])
    complete = np.isfinite(rows).all(axis=1)
    forest = RandomForestClassifier(30, max_features="sqrt", random_state=7).fit(rows[complete], targets[complete])
    pixels = composite.transpose("y", "x", "bands").values.astype(np.float64)
    known = np.isfinite(pixels).all(axis=-1)
    assert values.shape == (1, 16, 20)
    assert len(np.unique(values[0][known])) > 1
    np.testing.assert_array_equal(np.isfinite(values[0]), known)
    # A median may differ in its last bit, and a pixel at a split with it.
    assert (values[0][known] == forest.predict(pixels[known])).mean() > 0.99


def test_models_of_others_are_not_there(server: Server, item):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anna = openeo.connect(server.url).authenticate_basic(*USER)
    model = anna.datacube_from_process("load_ml_model", uri=item["id"])
    predicted = anna.datacube_from_process("ml_predict", data=masked(anna), model=model, dimensions=["bands"])
    with pytest.raises(OpenEoApiError) as caught:
        predicted.download(None, format="GTiff")
    assert caught.value.code == "ModelNotFound"
    assert "seeded" in caught.value.message
    assert item["id"] not in caught.value.message.split("Models that you saved")[1]


def test_groups_and_colours(connection, composite, tmp_path):
    """K-means and principal components in one request, fitted on the same lazy composite."""
    data = masked(connection)
    fit = connection.datacube_from_process("ml_fit_kmeans", data=data, n_clusters=4, seed=1)
    groups = connection.datacube_from_process("ml_predict", data=data, model=fit, dimensions=["bands"])
    renamed = groups.rename_dimension("predictions", "bands")
    colours = connection.datacube_from_process("embeddings_rgb", data=data)
    both = connection.datacube_from_process("merge_cubes", cube1=colours, cube2=renamed)
    both.download(tmp_path / "both.tif", format="GTiff")
    values, names = read(tmp_path / "both.tif")
    assert names == ["red", "green", "blue", "0"]
    known = np.isfinite(composite).all("bands").values
    assert set(np.unique(values[3][known])) == {0, 1, 2, 3}
    assert np.isnan(values[:, ~known]).all()
    assert values[:3, known].min() >= 0
    assert values[:3, known].max() <= 255
    centres = np.stack([values[:3, known & (values[3] == k)].mean(axis=1) for k in range(4)])
    assert np.linalg.norm(centres[0] - centres[1]) > 10


def test_errors_of_models(connection, sites):
    samples = masked(connection).aggregate_spatial({**sites, "features": sites["features"][:3]}, "mean")
    fit = connection.datacube_from_process(
        "ml_fit_class_random_forest", predictors=samples, target=sites, max_variables=9
    )
    with pytest.raises(OpenEoApiError) as caught:
        connection.datacube_from_process("save_ml_model", data=fit).execute()
    assert (caught.value.code, caught.value.http_status_code) == ("ProcessParameterInvalid", 400)
    assert "between 1 and 4" in caught.value.message
