"""The stored processes that come with the back-end: well-formed, and right in numbers that NumPy finds another way."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.graph import validate_graph
from processes.ready_made import CATEGORY, read_ready_made
from tests.processes.graph.graphs import callback, node, of, one, param
from tests.processes.machine_learning.cubes import (
    CHUNKINGS,
    REGISTRY,
    build,
    embeddings,
    environment,
    polygon,
    sites,
    stripes,
)

SPECS = {spec["id"]: spec for spec in read_ready_made()}
DATES = np.array(["2022-06-01", "2022-06-11", "2022-06-21", "2022-08-01", "2022-08-11"], "datetime64[ns]")


@pytest.fixture(scope="module")
def cube():
    return embeddings()


@pytest.fixture(scope="module")
def series():
    """Five dates, each with gaps of its own; a third of the area changes in August."""
    dates = [embeddings(seed=i, missing=0.2) for i in range(5)]
    series = xr.concat(dates, dim="t").assign_coords(t=DATES)
    return series.where(~((series["t"] > DATES[2]) & (series["x"] < 500040)), series + 2)


def run(chunks: Any = None, cubes: Any = (), **nodes: Any) -> xr.DataArray:
    lazy = {name: cube.chunk(chunks or CHUNKINGS[1]) for name, cube in dict(cubes).items()}
    result: xr.DataArray = build(environment(**lazy), **nodes)
    return result.compute(scheduler="sync")


@pytest.mark.parametrize("id", SPECS)
def test_specifications_are_complete(id):
    spec = SPECS[id]
    assert CATEGORY in spec["categories"]
    assert spec["summary"]
    assert spec["description"]
    assert "schema" in spec["returns"]
    for parameter in spec["parameters"]:
        assert parameter["description"]
        assert "schema" in parameter
        assert parameter.get("optional", False) == ("default" in parameter)
    assert spec["examples"]


@pytest.mark.parametrize("id", SPECS)
def test_graphs_are_valid(id):
    assert [error.message for error in validate_graph(SPECS[id], REGISTRY)] == []
    assert id in REGISTRY["predefined", None]
    assert REGISTRY[id].implementation is None


@pytest.mark.parametrize("id", SPECS)
def test_examples_are_calls(id):
    for example in SPECS[id]["examples"]:
        nodes = {name: node("create_data_cube") for name in ("embeddings", "sentinel2")}
        call = {"process_id": id, "arguments": example["arguments"], "result": True}
        assert [error.message for error in validate_graph({**nodes, "call": call}, REGISTRY)] == []


@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_embeddings_rgb(cube, chunks):
    result = run(chunks, {"cube": cube}, result=node("embeddings_rgb", data=param("cube"), deviations=2))
    assert result["bands"].values.tolist() == ["red", "green", "blue"]
    rows = cube.transpose("y", "x", "bands").values.astype(np.float64)
    complete = np.isfinite(rows).all(axis=-1)
    centred = rows[complete] - rows[complete].mean(axis=0)
    u, _, v = np.linalg.svd(centred, full_matrices=False)
    scores = u[:, :3] * np.sqrt(len(rows[complete]) - 1) * np.sign(v[np.arange(3), np.abs(v[:3]).argmax(axis=1)])
    expected = np.full((12, 13, 3), np.nan)
    expected[complete] = (np.clip(scores, -2, 2) + 2) / 4 * 255
    np.testing.assert_allclose(result.transpose("y", "x", "bands").values, expected, rtol=0, atol=2e-3)
    default = run(chunks, {"cube": cube}, result=node("embeddings_rgb", data=param("cube"))).values
    assert np.nanmin(default) >= 0
    assert np.nanmax(default) <= 255


def cosine(rows, example):
    return (rows * example).sum(-1) / np.linalg.norm(rows, axis=-1) / np.linalg.norm(example, axis=-1)


@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_similarity_to_a_point(cube, chunks):
    geometries = sites(count=1)
    x, y = geometries["features"][0]["geometry"]["coordinates"]
    result = run(
        chunks, {"cube": cube}, result=node("similarity_to_geometry", data=param("cube"), geometries=geometries)
    )
    assert result.dims == ("y", "x")
    rows = cube.transpose("y", "x", "bands").values.astype(np.float64)
    example = cube.sel(x=x, y=y).values.astype(np.float64)
    assert np.isfinite(example).all()
    np.testing.assert_allclose(result.values, cosine(rows, example), rtol=0, atol=1e-6)
    assert result.sel(x=x, y=y).item() == pytest.approx(1, abs=1e-6)


def test_similarity_to_a_polygon(cube):
    """Two columns of the middle stripe: that stripe is what resembles them."""
    area = polygon(500050, 5699880, 500070, 5700000)
    result = run(None, {"cube": cube}, result=node("similarity_to_geometry", data=param("cube"), geometries=area))
    rows = cube.transpose("y", "x", "bands").values.astype(np.float64)
    example = np.nanmean(rows[:, 5:7].reshape(-1, 4), axis=0)
    np.testing.assert_allclose(result.values, cosine(rows, example), rtol=0, atol=1e-6)
    inside = stripes() == 1
    assert np.nanmedian(result.values[inside]) > np.nanmax(result.values[~inside])


def test_similarity_date_by_date(series):
    geometries = sites(count=1)
    x, y = geometries["features"][0]["geometry"]["coordinates"]
    result = run(
        None, {"cube": series}, result=node("similarity_to_geometry", data=param("cube"), geometries=geometries)
    )
    rows = series.transpose("t", "y", "x", "bands").values.astype(np.float64)
    example = series.sel(x=x, y=y).values.astype(np.float64)[:, None, None]
    np.testing.assert_allclose(result.transpose("t", "y", "x").values, cosine(rows, example), rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_change_between_periods(series, chunks):
    periods = {"before": ["2022-06-01", "2022-07-01"], "after": ["2022-08-01", "2022-09-01"]}
    call = node("change_between_periods", data=param("cube"), **periods)
    result = run({"t": 2, **chunks}, {"cube": series}, result=call)
    assert result.dims == ("y", "x")
    values = series.transpose("t", "bands", "y", "x").values.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # medians of nothing
        apart = np.nanmedian(values[3:], axis=0) - np.nanmedian(values[:3], axis=0)
    np.testing.assert_allclose(result.values, np.sqrt((apart**2).sum(axis=0)), rtol=1e-5, atol=1e-6)
    changed, same = result.values[:, :4], result.values[:, 4:]
    assert np.nanmedian(changed) > 2 * np.nanmedian(same)


def sentinel2(series):
    """Reflectances with a band of classes, and the dates that are clear, (t, y, x)."""
    rng = np.random.default_rng(8)
    classes = rng.choice([4, 5, 11, 0, 3, 8, 9, 10], size=(5, 12, 13)).astype(np.float32)
    classes[:, 2, 3], classes[:, 4, 5] = 9, 4
    band = xr.DataArray(classes, dims=("t", "y", "x"), coords={d: series[d] for d in ("t", "y", "x")})
    band = band.expand_dims(bands=["SCL"], axis=1)
    s2 = series.isel(bands=slice(0, 2)).assign_coords(bands=["B04", "B08"])
    return xr.concat([s2, band], dim="bands"), classes


@pytest.mark.parametrize(("arguments", "classes"), [({}, (0, 1, 3, 8, 9, 10)), ({"masked": [4, 5]}, (4, 5))])
def test_cloud_masked_composite(series, arguments, classes):
    cube, scene = sentinel2(series)
    call = node("cloud_masked_composite", data=param("cube"), **arguments)
    result = run({"t": 2, "bands": 1, "x": 5}, {"cube": cube}, result=call)
    assert result.dims == ("bands", "y", "x")
    assert result["bands"].values.tolist() == ["B04", "B08"]
    values = cube.isel(bands=slice(0, 2)).values.astype(np.float64)
    values[np.broadcast_to(np.isin(scene, classes)[:, None], values.shape)] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmedian(values, axis=0)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(result.values, expected, rtol=0, atol=1e-6)


def test_the_classification_may_have_another_name(series):
    cube, _ = sentinel2(series)
    renamed = cube.assign_coords(bands=["B04", "B08", "classes"])
    call = node("cloud_masked_composite", data=param("cube"))
    expected = run(None, {"cube": cube}, result=call)
    call["arguments"]["classification"] = "classes"
    np.testing.assert_array_equal(run(None, {"cube": renamed}, result=call), expected)


def test_they_nest_and_work_in_callbacks(series):
    """A ready-made process on the result of another one, and one as the process of `apply_polygon`."""
    shifted = node("embeddings_rgb", data=param("cube"), deviations=3)
    nested = node(
        "change_between_periods", data=of("colours"), before=["2022-06-01", "2022-07-01"], after=["2022-08-01", None]
    )
    result = run(None, {"cube": series}, colours=shifted, result=nested)
    assert np.isfinite(result).any()
    colours = run(None, {"cube": series}, result=shifted)
    medians = [colours.sel(t=part).median("t") for part in (slice("2022-06", "2022-06"), slice("2022-08", "2022-08"))]
    expected = np.sqrt(((medians[1] - medians[0]) ** 2).sum("bands", skipna=False))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)
    area = polygon(500000, 5699880, 500130, 5700000)
    inside = callback(
        similar=node("similarity_to_geometry", data=param("data"), geometries=sites(count=1)),
        wide=node(
            "merge_cubes",
            cube1=param("data"),
            cube2=of("similar"),
            overlap_resolver=one("add", x=param("x"), y=param("y")),
        ),
    )
    result = run(
        None, {"cube": series}, result=node("apply_polygon", data=param("cube"), geometries=area, process=inside)
    )
    alone = run(
        None, {"cube": series}, result=node("similarity_to_geometry", data=param("cube"), geometries=sites(count=1))
    )
    np.testing.assert_allclose(result, series + alone, rtol=1e-5, atol=1e-5)


def test_periods_without_dates(series):
    call = node(
        "change_between_periods", data=param("cube"), before=["2021-06-01", "2021-07-01"], after=["2022-08-01", None]
    )
    with pytest.raises(OpenEOError, match="filter_temporal") as caught:
        run(None, {"cube": series}, result=call)
    assert caught.value.code == "NoDataAvailable"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"data": param("cube")}, "ProcessParameterRequired"),
        ({"data": param("cube"), "geometries": 5}, "ProcessParameterInvalid"),
        ({"data": param("cube"), "geometries": sites(), "band": "F01"}, "ProcessParameterUnsupported"),
    ],
)
def test_arguments_are_checked_as_those_of_any_process(cube, arguments, code):
    with pytest.raises(OpenEOError) as caught:
        run(None, {"cube": cube}, result=node("similarity_to_geometry", **arguments))
    assert caught.value.code == code
