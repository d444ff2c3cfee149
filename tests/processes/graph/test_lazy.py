"""Every process that works on cubes, called through a graph: nothing computes, and the outcome is a lazy cube."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from processes.graph.package import ProcessRegistry
from processes.graph.schema import CUBES, subtypes, takes_array
from processes.registry import build_registry
from tests.processes.graph.graphs import callback, cube, flat, node, of, one, param, run, values

A = values(6, 3, 6, 5)
A[:, 0, 0, 0] = np.nan
A[0, 1, 1, 1] = 0
C = param("c")
MEAN = one("mean", data=param("data"))
SQUARE = [[500_000, 5_649_960], [500_030, 5_649_960], [500_030, 5_650_000], [500_000, 5_650_000], [500_000, 5_649_960]]
POLYGON = {
    "type": "Polygon",
    "coordinates": [SQUARE],
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
}
BOX = {"west": 500_000, "south": 5_649_960, "east": 500_030, "north": 5_650_000, "crs": 32631}
WINDOW = [{"dimension": "x", "value": 3, "unit": "px"}, {"dimension": "y", "value": 3, "unit": "px"}]

# Processes of cubes, and the arguments beside their first cube.
ON_CUBES: dict[str, dict[str, Any]] = {
    "add_dimension": {"name": "z", "label": "a"},
    "aggregate_spatial": {"geometries": POLYGON, "reducer": MEAN, "target_dimension": "counts"},
    "aggregate_spatial_window": {"reducer": MEAN, "size": [2, 4]},
    "aggregate_temporal": {"intervals": [["2022-01-01", "2022-02-01"]], "reducer": MEAN, "labels": ["first"]},
    "aggregate_temporal_period": {"period": "month", "reducer": MEAN},
    "anomaly": {"normals": of("normals"), "period": "month"},
    "apply": {"process": one("absolute", x=param("x"))},
    "apply_dimension": {"process": MEAN, "dimension": "t"},
    "apply_kernel": {"kernel": [[0, 1, 0], [1, 1, 1], [0, 1, 0]], "factor": 0.2},
    "apply_neighborhood": {
        "process": one("apply", data=param("data"), process=one("sin", x=param("x"))),
        "size": WINDOW,
    },
    "apply_polygon": {
        "process": one("apply", data=param("data"), process=one("sin", x=param("x"))),
        "geometries": POLYGON,
    },
    "climatological_normal": {"period": "month", "climatology_period": [2022, 2022]},
    "filter_bands": {"bands": ["B03", "B01"]},
    "filter_bbox": {"extent": BOX},
    "filter_labels": {"condition": one("text_ends", data=param("value"), pattern="1"), "dimension": "bands"},
    "filter_spatial": {"geometries": POLYGON},
    "filter_temporal": {"extent": ["2022-01-10", None]},
    "flatten_dimensions": {"dimensions": ["bands", "t"], "target_dimension": "layers"},
    "mask": {"mask": of("cloud"), "replacement": 0},
    "mask_polygon": {"mask": POLYGON},
    "merge_cubes": {"cube2": C, "overlap_resolver": one("min", data=[param("x"), param("y")])},
    "ndvi": {"nir": "B03", "red": "B01", "target_band": "ndvi"},
    "predict_curve": {
        "function": one("array_element", data=param("parameters"), index=1),
        "dimension": "bands",
        "labels": [1, 2],
    },
    "principal_components": {"n": 2},
    "reduce_dimension": {"reducer": MEAN, "dimension": "bands"},
    "reduce_spatial": {"reducer": MEAN},
    "rename_dimension": {"source": "t", "target": "time"},
    "rename_labels": {"dimension": "bands", "source": ["B01"], "target": ["red"]},
    "resample_cube_spatial": {"target": of("coarse"), "method": "average"},
    "resample_cube_temporal": {"target": C, "valid_within": 10},
    "resample_spatial": {"resolution": 20},
    "unflatten_dimension": {"data": of("flat"), "dimension": "layers", "target_dimensions": ["a", "b"]},
    # A cube with one band, without a dimension of bands.
    "drop_dimension": {"data": of("red"), "name": "bands"},
}
# Those that give no lazy cube, and those that need what only a back-end has.
OTHERS = {"create_data_cube", "dimension_labels", "load_collection", "multimodal_embed", "save_result"}
# A curve needs dates, labels are no values, and what is trimmed is so when saved; tests/processes/overrides runs them.
OTHERS |= {"array_create_labeled", "fit_curve", "trim_cube"}
# Models; tests/processes/machine_learning runs them without letting anything compute.
OTHERS |= {"load_ml_model", "ml_fit_class_random_forest", "ml_fit_kmeans", "ml_fit_regr_random_forest"}
OTHERS |= {"ml_predict", "save_ml_model"}
# What comes in by URL, and geometries; tests of their own run them without letting anything compute.
OTHERS |= {"load_geojson", "load_stac", "load_uploaded_files", "load_url", "filter_vector", "vector_buffer"}
OTHERS |= {"load_result", "run_udf", "vector_reproject"}
OTHERS |= {"vector_to_random_points", "vector_to_regular_points"}
# What processes of numbers and arrays need beside their first operand.
OPERANDS: dict[str, dict[str, Any]] = {
    "array_append": {"value": 1},
    "array_apply": {"process": one("sin", x=param("x"))},
    "array_concat": {"array2": [1, 2]},
    "array_contains": {"value": 0},
    "array_element": {"index": 1},
    "array_filter": {"condition": one("gt", x=param("x"), y=0)},
    "array_find": {"value": 0.5},
    "array_find_label": {"label": "B02"},
    "array_modify": {"values": [1], "index": 1},
    "between": {"min": 0, "max": 1},
    "clip": {"min": 0, "max": 1},
    "if": {"accept": 1},
    "linear_scale_range": {"inputMin": 0, "inputMax": 1},
    "log": {"base": 10},
    "order": {"nodata": True},
    "power": {"p": 2},
    "quantiles": {"probabilities": [0.5]},
    "rearrange": {"order": [2, 0, 1]},
    "sort": {"nodata": True},
    **{id: {"y": True} for id in ("and", "or", "xor")},
    "arctan2": {"x": 2},
}
TEXTS_AND_DATES = {"date_between", "date_difference", "date_shift", "e", "nan", "pi", "text_begins", "text_concat"}
TEXTS_AND_DATES |= {"text_contains", "text_ends", "text_find"}

Build = Callable[..., xr.DataArray]


def _is_of_cubes(id: str, registry: ProcessRegistry) -> bool:
    schemas = [parameter["schema"] for parameter in registry[id].spec["parameters"]]
    return id in OTHERS or any(subtypes(schema) & set(CUBES) for schema in schemas)


REGISTRY = build_registry()
IDS = sorted(id for id, process in REGISTRY["predefined", None].items() if process.implementation)
NUMBERS = [id for id in IDS if not _is_of_cubes(id, REGISTRY) and id not in TEXTS_AND_DATES]


def test_no_process_is_forgotten() -> None:
    assert set(IDS) == set(ON_CUBES) | OTHERS | set(NUMBERS) | TEXTS_AND_DATES


@pytest.mark.parametrize("id", ON_CUBES)
def test_processes_of_cubes(build: Build, registry: ProcessRegistry, id: str) -> None:
    first = registry[id].spec["parameters"][0]["name"]
    graph = flat(
        red=node("filter_bands", data=C, bands=["B01"]),
        cloud=node("apply", data=of("red"), process=one("gt", x=param("x"), y=0.5)),
        dropped=node("drop_dimension", data=of("cloud"), name="bands"),
        coarse=node("resample_spatial", data=C, resolution=20),
        flat=node("flatten_dimensions", data=C, **ON_CUBES["flatten_dimensions"]),
        normals=node("climatological_normal", data=C, **ON_CUBES["climatological_normal"]),
        a=node(id, **{first: C, **ON_CUBES[id], **({"mask": of("dropped")} if id == "mask" else {})}),
    )
    result = build(graph, c=cube(A, (2, 2, 4, 3)))
    assert dask.is_dask_collection(result)
    assert result.compute().shape == result.shape


@pytest.mark.parametrize("id", NUMBERS)
def test_processes_of_numbers_and_arrays(build: Build, registry: ProcessRegistry, id: str) -> None:
    first = registry[id].spec["parameters"][0]
    data = cube(A, (2, 2, 4, 3))
    if takes_array(first["schema"]):
        asked = one(id, **{first["name"]: param("data"), **OPERANDS.get(id, {})})
        graph = flat(a=node("apply_dimension", data=C, dimension="bands", process=asked))
    else:
        operands = {p["name"]: 2 for p in registry[id].spec["parameters"][1:] if not p.get("optional")}
        asked = one(id, **{**operands, **OPERANDS.get(id, {}), first["name"]: param("x")})
        graph = flat(a=node("apply", data=C, process=asked))
    result = build(graph, c=data)
    assert dask.is_dask_collection(result)
    computed = result.compute(scheduler="synchronous")
    assert (computed.dtype, computed.shape) == (result.dtype, result.shape)
    assert [n for d, n in result.sizes.items() if d != "bands"] == [6, 6, 5]


def test_callbacks_nested_as_deep_as_allowed(registry: ProcessRegistry) -> None:
    graph = one("add", x=param("x"), y=1)
    for _ in range(6):
        graph = callback(a=node("array_apply", data=[param("x")], process=graph), b=node("sum", data=of("a")))
    nested = callback(a=node("array_apply", data=param("data"), process=graph), b=node("max", data=of("a")))
    result = run(
        registry, flat(a=node("reduce_dimension", data=C, dimension="t", reducer=nested)), c=cube(A, (2, 2, 4, 3))
    )
    expected = np.nanmax(A + 1, 0, initial=-np.inf)
    np.testing.assert_allclose(result.values, np.where(np.isfinite(expected), expected, np.nan))
