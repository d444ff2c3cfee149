"""Random forests: what they learn, from which samples, and that neither chunks nor workers change them."""

from __future__ import annotations

import dask
import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from processes.errors import OpenEOError
from tests.processes.graph.graphs import node, of, one, param
from tests.processes.machine_learning.cubes import (
    CHUNKINGS,
    build,
    embeddings,
    environment,
    lazy,
    predicted,
    sites,
    stripes,
    trained,
)


@pytest.fixture(scope="module")
def cube():
    return embeddings()


def samples_of(cube, collection):
    """The rows of complete training samples and their targets, straight from the array."""
    points = [feature["geometry"]["coordinates"] for feature in collection["features"]]
    x, y = (xr.DataArray([p[i] for p in points], dims="site") for i in (0, 1))
    rows = cube.sel(x=x, y=y).transpose("site", "bands").values.astype(np.float64)
    targets = np.array([next(iter(f["properties"].values())) for f in collection["features"]])
    complete = np.isfinite(rows).all(axis=1)
    return rows[complete], targets[complete]


def everywhere(cube, model):
    """The model's predictions for each pixel, NaN where one is not complete."""
    rows = cube.transpose("y", "x", "bands").values.reshape(-1, 4).astype(np.float64)
    complete = np.isfinite(rows).all(axis=1)
    out = np.full(len(rows), np.nan, np.float32)
    out[complete] = model.predict(rows[complete])
    return out.reshape(12, 13)


@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_classes_are_those_of_scikit_learn_in_any_chunks(cube, chunks):
    geometries = sites()
    env = environment(cube=lazy(cube, chunks))
    result = build(env, **trained(geometries), result=predicted())
    rows, targets = samples_of(cube, geometries)
    model = RandomForestClassifier(20, max_features="sqrt", random_state=5).fit(rows, targets)
    assert result.dims == ("predictions", "y", "x")
    assert result["predictions"].values.tolist() == ["0"]
    assert result.dtype == np.float32
    assert result.odc.crs == cube.odc.crs
    computed = result.compute(scheduler="sync")
    np.testing.assert_array_equal(computed[0].values, everywhere(cube, model))
    valid = np.isfinite(computed[0].values)
    assert not valid.all()
    assert set(np.unique(computed.values[:, valid])) == {10, 20, 30}
    assert (computed[0].values[valid] == 10 * (stripes()[valid] + 1)).mean() > 0.9
    np.testing.assert_array_equal(valid, np.isfinite(cube).all("bands").values)


@pytest.mark.parametrize(("max_variables", "used"), [("all", None), ("onethird", 1), ("log2", "log2"), (3, 3)])
def test_quantities_are_those_of_scikit_learn(cube, max_variables, used):
    geometries = sites(lambda kind: {"height": kind * 1.5 + 0.25})
    env = environment(cube=lazy(cube))
    result = build(env, **trained(geometries, "regr", max_variables=max_variables), result=predicted())
    rows, targets = samples_of(cube, geometries)
    model = RandomForestRegressor(20, max_features=used, random_state=5).fit(rows, targets)
    np.testing.assert_array_equal(result.compute(scheduler="threads")[0].values, everywhere(cube, model))


def test_workers_and_their_number_change_nothing(cube):
    from distributed import Client, LocalCluster

    env = environment(cube=lazy(cube))
    result = build(env, **trained(sites()), result=predicted())
    alone = result.compute(scheduler="sync")
    options = {"processes": False, "dashboard_address": None, "protocol": "tcp", "host": "127.0.0.1"}
    quiet = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with (
        dask.config.set(quiet),
        LocalCluster(n_workers=2, threads_per_worker=2, **options) as cluster,
        Client(cluster) as client,
    ):
        spread = client.compute(result).result(timeout=60)
    xr.testing.assert_identical(alone, spread)


def test_without_a_seed_one_computation_has_one_forest(cube):
    env = environment(cube=lazy(cube))
    nodes = trained(sites(), "regr", seed=None, num_trees=3)
    one_model = build(env, **nodes, result=predicted())
    first, again = (one_model.compute(scheduler="sync") for _ in range(2))
    xr.testing.assert_identical(first, again)
    others = [build(env, **nodes, result=predicted()).compute(scheduler="sync") for _ in range(2)]
    assert any(not np.array_equal(first, other, equal_nan=True) for other in others)


def test_texts_are_classes_and_their_numbers_are_told(cube):
    crops = ("wheat", "maize", "beet")
    env = environment(cube=lazy(cube))
    result = build(env, **trained(sites(lambda kind: {"crop": crops[kind]})), result=predicted())
    assert env.ledger.messages[0]["message"].endswith("0 = beet, 1 = maize, 2 = wheat.")
    computed = result.compute(scheduler="sync")[0].values
    valid = np.isfinite(computed)
    assert (computed[valid] == np.array([2, 1, 0])[stripes()[valid]]).mean() > 0.9


def test_the_property_target_is_taken_among_several(cube):
    geometries = sites(lambda kind: {"name": "site", "target": kind, "area": 3.5})
    env = environment(cube=lazy(cube))
    ours = build(env, **trained(geometries), result=predicted()).compute(scheduler="sync")
    only = build(env, **trained(sites(lambda kind: {"x": kind})), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, only)


def test_the_target_may_be_a_vector_cube_of_values(cube):
    """Land cover aggregated over the same points, as one would with a map of classes."""
    geometries = sites(lambda kind: {"name": "a site"})
    classes = (cube.isel(bands=0, drop=True) * 0 + 1) * (stripes() + 1) * 10
    classes = classes.fillna(10)
    env = environment(cube=lazy(cube), classes=classes.chunk(x=5))
    truth = node(
        "aggregate_spatial", data=param("classes"), geometries=geometries, reducer=one("max", data=param("data"))
    )
    nodes = {**trained(geometries), "truth": truth}
    nodes["model"]["arguments"]["target"] = of("truth")
    ours = build(env, **nodes, result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(sites()), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_the_target_may_be_the_predictors_themselves(cube):
    """Vector cubes keep the properties of their geometries."""
    nodes = trained(sites())
    nodes["model"]["arguments"]["target"] = of("samples")
    env = environment(cube=lazy(cube))
    ours = build(env, **nodes, result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(sites()), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("properties", [{"properties": ["crop"]}, {"properties": ["target"]}, {}])
def test_samples_loaded_from_geojson(cube, properties):
    """With values of one property; of the target itself; without values, so that the property `target` counts."""
    named = properties.get("properties") == ["crop"]
    collection = sites(
        lambda kind: {"crop": 10 * (kind + 1), "name": "x", **({} if named else {"target": 10 * (kind + 1)})}
    )
    load = node("load_geojson", data=collection, **properties)
    nodes = {"geometries": load, **trained(of("geometries"))}
    env = environment(cube=lazy(cube))
    ours = build(env, **nodes, result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(sites()), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_the_only_property_of_loaded_geojson(cube):
    nodes = {"geometries": node("load_geojson", data=sites(lambda kind: {"crop": "abc"[kind]}))}
    env = environment(cube=lazy(cube))
    ours = build(env, **nodes, **trained(of("geometries")), result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(sites(lambda kind: {"x": kind})), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_targets_are_found_by_geometry_in_any_order(cube):
    geometries = sites()
    shuffled = {**geometries, "features": geometries["features"][::-1]}
    env = environment(cube=lazy(cube))
    ours = build(env, **trained(geometries, target=shuffled), result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(geometries), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_samples_from_geoparquet(cube, tmp_path):
    geometries = sites()
    frame = gpd.GeoDataFrame.from_features(geometries["features"], crs="EPSG:32631")
    frame.to_parquet(tmp_path / "sites.parquet")
    read = gpd.read_parquet(tmp_path / "sites.parquet")
    env = environment(cube=lazy(cube), sites=read)
    ours = build(env, **trained(param("sites")), result=predicted()).compute(scheduler="sync")
    expected = build(env, **trained(geometries), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_a_vector_cube_is_predicted(cube):
    env = environment(cube=lazy(cube))
    predict = node("ml_predict", data=of("samples"), model=of("model"), dimensions=["bands"])
    result = build(env, **trained(sites()), result=predict)
    assert result.dims == ("geometry", "predictions")
    assert "geometry" in result.xvec.geom_coords_indexed
    values, told = result.compute(scheduler="sync")[:, 0].values, result["target"].values
    complete = np.isfinite(values)
    assert (values[complete] == told[complete]).mean() > 0.95


def test_features_are_found_by_name(cube):
    env = environment(cube=lazy(cube), other=lazy(cube.isel(bands=[3, 1, 0, 2])))
    predict = node("ml_predict", data=param("other"), model=of("model"), dimensions=["bands"])
    ours = build(env, **trained(sites()), result=predict).compute(scheduler="sync")
    expected = build(env, **trained(sites()), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours, expected)


def test_several_dimensions_are_features_in_their_order(cube):
    """Two dates of two bands are the same four features."""
    stacked = cube.values.reshape(2, 2, 12, 13)
    two = xr.DataArray(stacked, dims=("t", "bands", "y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    env = environment(cube=lazy(cube), two=two.chunk(t=1, bands=1, x=6))
    predict = node("ml_predict", data=param("two"), model=of("model"), dimensions=["t", "bands"])
    ours = build(env, **trained(sites()), result=predict)
    assert ours.dims == ("predictions", "y", "x")
    expected = build(env, **trained(sites()), result=predicted()).compute(scheduler="sync")
    np.testing.assert_array_equal(ours.compute(scheduler="sync"), expected)


def test_a_single_value_is_the_only_feature(cube):
    single = cube.isel(bands=0, drop=True)
    env = environment(cube=lazy(single, {"y": 5}))
    result = build(env, **trained(sites()), result=predicted(()))
    assert result.dims == ("predictions", "y", "x")
    computed = result.compute(scheduler="sync")
    np.testing.assert_array_equal(np.isfinite(computed[0]), np.isfinite(single))


def refused(env, **nodes):
    with pytest.raises(OpenEOError) as caught:
        build(env, **nodes)
    return caught.value


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"max_variables": 5}, "ProcessParameterInvalid", "between 1 and 4"),
        ({"max_variables": "half"}, "ProcessParameterInvalid", "half"),
        ({"max_variables": 0}, "ProcessParameterInvalid", "between 1 and 4"),
        ({"num_trees": 0}, "ProcessParameterInvalid", "between 1 and 2000"),
        ({"num_trees": 100_000}, "ProcessParameterInvalid", "between 1 and 2000"),
        ({"seed": "one"}, "ProcessParameterInvalid", "seed"),
        ({"target": sites(count=5)}, "ProcessParameterInvalid", "19 of the 24 geometries"),
        ({"target": sites(lambda kind: {"a": 1, "b": 2})}, "ProcessParameterInvalid", "a, b"),
        ({"target": sites(lambda kind: {})}, "ProcessParameterInvalid", "none"),
        ({"target": sites(lambda kind: {"target": [1, "x"][kind % 2]})}, "ProcessParameterInvalid", "all numbers"),
        ({"target": {**sites(), "crs": None}}, "ProcessParameterInvalid", "EPSG:4326"),
        ({"target": {"type": "FeatureCollection"}}, "ProcessParameterInvalid", "target"),
    ],
)
def test_what_is_refused_before_anything_is_computed(cube, change, code, words):
    error = refused(environment(cube=lazy(cube)), **trained(sites(), **change))
    assert error.code == code
    assert words in error.message


def test_pixels_are_no_training_sites(cube):
    fit = node("ml_fit_class_random_forest", predictors=param("cube"), target=sites(), max_variables="all")
    error = refused(environment(cube=lazy(cube)), model=fit)
    assert error.code == "DimensionMissing"
    assert "aggregate_spatial" in error.message


def test_texts_are_no_quantities(cube):
    error = refused(environment(cube=lazy(cube)), **trained(sites(lambda kind: {"crop": "abc"[kind]}), "regr"))
    assert "ml_fit_class_random_forest" in error.message


def test_predictors_of_several_dates(cube):
    two = xr.concat([cube, cube], dim="t").assign_coords(t=np.array(["2022-01-01", "2022-02-01"], "datetime64[ns]"))
    error = refused(environment(cube=two.chunk()), **trained(sites()))
    assert error.code == "ProcessParameterInvalid"
    assert "reduce the others" in error.message


@pytest.mark.parametrize(
    ("geometries", "code", "words"),
    [
        (sites(lambda kind: {"target": 0.5}), "ProcessParameterInvalid", "0.5 is no class"),
        (sites(lambda kind: {"target": None}), "NoDataAvailable", "None of the 24"),
    ],
)
def test_what_is_only_known_while_computing(cube, geometries, code, words):
    result = build(environment(cube=lazy(cube)), **trained(geometries), result=predicted())
    with pytest.raises(OpenEOError) as caught:
        result.compute(scheduler="sync")
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"dimensions": ["band"]}, "DimensionNotAvailable", "band"),
        ({"dimensions": ["bands", "bands"]}, "ProcessParameterInvalid", "twice"),
        ({"dimensions": ["y", "x"]}, "ProcessParameterInvalid", "156 features"),
        ({"data": param("fewer")}, "LabelNotAvailable", "F02, F04"),
        ({"model": 5}, "ProcessParameterInvalid", "model"),
        ({"model": {"from_node": "samples"}}, "ProcessParameterInvalid", "model"),
    ],
)
def test_what_ml_predict_refuses(cube, arguments, code, words):
    env = environment(cube=lazy(cube), fewer=cube.isel(bands=[0, 2]).chunk())
    nodes = {**trained(sites()), "result": predicted()}
    nodes["result"]["arguments"] |= arguments
    error = refused(env, **nodes)
    assert error.code == code
    assert words in error.message
