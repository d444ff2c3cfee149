"""What of a cube survives each process of cubes: labels, dimensions and their order, CRS, no-data, type, the input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.graph.schema import CUBES, subtypes
from tests.processes.graph.graphs import cube_registry, environment, flat, node, of, one, param

DIMS = ("t", "bands", "y", "x")
BANDS = ["B02", "B03", "B08"]
DATES = ["2022-01-05T10:00:00Z", "2022-01-15T10:00:00Z", "2022-02-04T10:00:00Z", "2022-02-14T10:00:00Z"]
X, Y, DATA = param("x"), param("y"), param("data")
MAX, MEAN = one("max", data=DATA), one("mean", data=DATA)
KEEP = one("if", value=True, accept=X)
RING = [[500_000, 5_649_960], [500_030, 5_649_960], [500_030, 5_650_000], [500_000, 5_650_000], [500_000, 5_649_960]]
UTM = {"type": "name", "properties": {"name": "EPSG:32631"}}
POLYGON = {"type": "Polygon", "coordinates": [RING], "crs": UTM}
BOX = {"west": 500_000, "south": 5_649_960, "east": 500_030, "north": 5_650_000, "crs": 32631}
# What would make a reader scale values once more.
SCALING = {"scale_factor", "add_offset", "scales", "offsets", "_FillValue", "missing_value", "nodata", "dtype"}


@dataclass(frozen=True)
class Kept:
    """What a process makes of a cube (t, bands, y, x).

    Parameters
    ----------
    arguments : dict
        Those beside the first cube, which goes by the name of the first parameter.
    dims : tuple of str
        The dimensions of the result, in order.
    labels : dict
        Labels that differ from the input's, or are new; ... for those that are not compared.
    whole : bool
        Whether integers stay integers; the specification leaves no choice where no-data comes in.
    crs : bool
        Whether the result has x and y, and so a reference system.
    wide : bool
        Whether floats become float64, because counts stand beside them.
    """

    arguments: dict[str, Any]
    dims: tuple[str, ...] = DIMS
    labels: dict[str, Any] = field(default_factory=dict)
    whole: bool = True
    crs: bool = True
    wide: bool = False


OTHER = {"from_node": "other"}
TABLE: dict[str, list[Kept]] = {
    "add_dimension": [
        Kept({"name": "z", "label": "a"}, ("t", "bands", "z", "y", "x"), {"z": ["a"]}),
        Kept({"name": "p", "label": 7, "type": "other"}, ("t", "bands", "p", "y", "x"), {"p": [7]}),
    ],
    "aggregate_spatial": [
        Kept({"geometries": POLYGON, "reducer": MAX}, ("geometry", "t", "bands"), {"geometry": ...}, crs=False),
        Kept(
            {"geometries": POLYGON, "reducer": MEAN, "target_dimension": "result"},
            ("geometry", "t", "bands", "result"),
            {"geometry": ..., "result": ["value", "total_count", "valid_count"]},
            whole=False,
            crs=False,
            wide=True,
        ),
    ],
    "aggregate_temporal": [
        Kept(
            {"intervals": [["2022-01-01", "2022-02-01"], ["2022-02-01", "2022-03-01"]], "reducer": MAX},
            labels={"t": ["2022-01-01", "2022-02-01"]},
        ),
        Kept(
            {"intervals": [["2022-01-01", "2022-02-01"], ["2023-01-01", None]], "reducer": MAX, "labels": ["a", "b"]},
            labels={"t": ["a", "b"]},
            whole=False,
        ),
    ],
    "aggregate_temporal_period": [
        Kept({"period": "month", "reducer": MAX}, labels={"t": ["2022-01", "2022-02"]}),
        Kept({"period": "dekad", "reducer": MAX}, labels={"t": [f"2022-{n:02d}" for n in range(1, 6)]}, whole=False),
    ],
    "aggregate_spatial_window": [
        Kept({"reducer": MAX, "size": [2, 3], "boundary": "trim"}, labels={"x": ..., "y": ...}),
        Kept({"reducer": MEAN, "size": [2, 4]}, labels={"x": ..., "y": ...}, whole=False),
    ],
    "anomaly": [Kept({"normals": of("normals"), "period": "month"}, whole=False)],
    "apply": [Kept({"process": KEEP}), Kept({"process": one("multiply", x=X, y=0.5)}, whole=False)],
    "apply_dimension": [
        Kept({"process": one("sort", data=DATA, nodata=True), "dimension": "t"}),
        Kept({"process": MAX, "dimension": "t"}, labels={"t": [0]}),
        Kept({"process": MAX, "dimension": "t", "target_dimension": "top"}, ("top", "bands", "y", "x"), {"top": [0]}),
        Kept({"process": one("quantiles", data=DATA, probabilities=4), "dimension": "bands"}, whole=False),
        Kept(
            {"process": one("extrema", data=DATA), "dimension": "bands", "target_dimension": "ends"},
            ("t", "ends", "y", "x"),
            {"ends": [0, 1]},
        ),
    ],
    "apply_kernel": [Kept({"kernel": [[0, 1, 0], [1, 1, 1], [0, 1, 0]], "factor": 0.2}, whole=False)],
    "apply_neighborhood": [
        Kept(
            {
                "process": one("apply", data=DATA, process=KEEP),
                "size": [{"dimension": d, "value": 3, "unit": "px"} for d in ("x", "y")],
            }
        ),
        Kept(
            {
                "process": one("apply", data=DATA, process=KEEP),
                "size": [{"dimension": d, "value": 3, "unit": "px"} for d in ("x", "y")],
                "overlap": [{"dimension": d, "value": 1, "unit": "px"} for d in ("x", "y")],
            },
            whole=False,
        ),
    ],
    "apply_polygon": [Kept({"process": one("apply", data=DATA, process=KEEP), "geometries": POLYGON}, whole=False)],
    "climatological_normal": [
        Kept({"period": "month", "climatology_period": [2022, 2022]}, labels={"t": ...}, whole=False)
    ],
    "drop_dimension": [Kept({"data": of("red"), "name": "bands"}, ("t", "y", "x"))],
    "filter_bands": [
        Kept({"bands": ["B08", "B02"]}, labels={"bands": ["B08", "B02"]}),
        Kept({"bands": ["nir"], "wavelengths": [[0.4, 0.6]]}, labels={"bands": ["B08", "B02", "B03"]}),
    ],
    "filter_bbox": [Kept({"extent": BOX}, labels={"x": slice(0, 3), "y": slice(0, 4)})],
    "filter_labels": [
        Kept(
            {"condition": one("neq", x=param("value"), y="B03"), "dimension": "bands"}, labels={"bands": ["B02", "B08"]}
        )
    ],
    "filter_spatial": [Kept({"geometries": POLYGON}, labels={"x": slice(0, 3), "y": slice(0, 4)}, whole=False)],
    "filter_temporal": [Kept({"extent": ["2022-01-10", "2022-02-14T10:00:00Z"]}, labels={"t": slice(1, 3)})],
    "flatten_dimensions": [
        Kept({"dimensions": ["t", "bands"], "target_dimension": "all"}, ("all", "y", "x"), {"all": ...}),
    ],
    "mask": [
        Kept({"mask": of("cloud")}, whole=False),
        Kept({"mask": of("cloud"), "replacement": -1}),
        Kept({"mask": of("coarse"), "replacement": 0}),
    ],
    "mask_polygon": [
        Kept({"mask": POLYGON}, whole=False),
        Kept({"mask": {"type": "Feature", "properties": {}, "geometry": POLYGON, "crs": UTM}, "replacement": 0}),
    ],
    "merge_cubes": [
        Kept({"cube2": of("other")}, labels={"bands": [*BANDS, "VV", "VH"]}),
        Kept({"cube2": of("early")}, labels={"t": ["2021-12-06T10:00:00Z", *DATES]}),
        Kept({"cube2": param("cube"), "overlap_resolver": one("max", data=[X, Y])}),
        Kept({"cube2": of("flat"), "overlap_resolver": one("max", data=[X, Y])}),
        Kept({"cube2": of("later")}, labels={"bands": [*BANDS, "VV", "VH"], "t": ...}, whole=False),
    ],
    "ndvi": [
        Kept({"nir": "B08", "red": "B02"}, ("t", "y", "x"), whole=False),
        Kept({"nir": "nir", "red": "B02", "target_band": "NDVI"}, labels={"bands": [*BANDS, "NDVI"]}, whole=False),
    ],
    "reduce_dimension": [
        Kept({"reducer": MAX, "dimension": "t"}, ("bands", "y", "x")),
        Kept({"reducer": one("array_element", data=DATA, label="B03"), "dimension": "bands"}, ("t", "y", "x")),
        Kept({"reducer": MEAN, "dimension": "t"}, ("bands", "y", "x"), whole=False),
    ],
    "reduce_spatial": [Kept({"reducer": MAX}, ("t", "bands"), crs=False)],
    "rename_dimension": [
        Kept({"source": "t", "target": "time"}, ("time", "bands", "y", "x"), {"time": DATES}),
        Kept({"source": "bands", "target": "band"}, ("t", "band", "y", "x"), {"band": BANDS}),
    ],
    "rename_labels": [
        Kept({"dimension": "bands", "source": ["B08"], "target": ["nir"]}, labels={"bands": ["B02", "B03", "nir"]})
    ],
    "resample_cube_spatial": [
        Kept({"target": of("half"), "method": "average"}, labels={"x": ..., "y": ...}, whole=False),
        Kept({"target": of("half")}, labels={"x": ..., "y": ...}),
    ],
    "resample_cube_temporal": [
        Kept({"target": of("early")}, labels={"t": ["2021-12-06T10:00:00Z"]}),
        Kept({"target": of("early"), "valid_within": 1}, labels={"t": ["2021-12-06T10:00:00Z"]}, whole=False),
    ],
    "resample_spatial": [
        Kept({"resolution": 20}, labels={"x": ..., "y": ...}),
        Kept({"resolution": 20, "method": "bilinear"}, labels={"x": ..., "y": ...}, whole=False),
        Kept({"projection": 4326}, labels={"x": ..., "y": ...}, whole=False),
    ],
    "unflatten_dimension": [
        Kept(
            {"data": of("pairs"), "dimension": "bands", "target_dimensions": ["kind", "unit"]},
            ("t", "kind", "unit", "y", "x"),
            {"kind": ["a", "b"], "unit": ["1"]},
        )
    ],
}
_VECTORS = ("filter_vector", "load_geojson", "load_uploaded_files", "load_url", "vector_buffer", "vector_reproject")
_MODELS = ("ml_fit_class_random_forest", "ml_fit_kmeans", "ml_fit_regr_random_forest", "ml_predict")
_GRAPHS = ("change_between_periods", "cloud_masked_composite", "embeddings_rgb", "similarity_to_geometry")
EXCUSED = {
    "create_data_cube": "takes no cube",
    "load_result": "takes no cube; its own tests save cubes and hold what comes back against them",
    "dimension_labels": "gives a list",
    "multimodal_embed": "has its own tests",
    "predict_curve": "makes values of parameters; its own tests",
    "principal_components": "makes bands of its own; its own tests",
    "save_result": "gives what it got to a file",
    "trim_cube": "knows what is left once it is computed; its own tests",
    **dict.fromkeys(("load_collection", "load_stac"), "takes no cube; the sources' contract tests what it gives"),
    **dict.fromkeys((*_VECTORS, "vector_to_random_points", "vector_to_regular_points"), "is about vector cubes"),
    **dict.fromkeys(_MODELS, "makes or runs a model; its own tests"),
    **dict.fromkeys(_GRAPHS, "is a graph of other processes"),
}
CASES = [(id, case) for id, cases in TABLE.items() for case in cases]
NAMES = [f"{id}-{i}" for id, cases in TABLE.items() for i in range(len(cases))]


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return cube_registry()


def test_every_process_of_cubes_is_in_the_table_or_excused(registry: ProcessRegistry) -> None:
    of_cubes = {id for _, id in registry if id != "cube" and _takes_raster(registry[id].spec)}
    assert of_cubes == set(TABLE) | set(EXCUSED)
    assert not set(TABLE) & set(EXCUSED)


def _takes_raster(spec: dict[str, Any]) -> bool:
    schemas = [p["schema"] for p in spec["parameters"]] + [spec["returns"]["schema"]]
    return any(subtypes(schema) & set(CUBES) for schema in schemas)


def make_cube(dtype: str, chunks: dict[str, int] | None) -> xr.DataArray:
    """Return a cube with everything that can get lost; no-data in floats."""
    values = np.random.default_rng(4).integers(1, 100, (4, 3, 6, 5)).astype(dtype)
    if dtype == "float32":
        values[1, :, 2, 2] = np.nan
    box = GeoBox.from_bbox((500_000, 5_649_940, 500_050, 5_650_000), crs="EPSG:32631", resolution=10)
    coords = {
        "t": np.array([date[:-1] for date in DATES], "datetime64[ns]"),
        "bands": BANDS,
        "common_name": ("bands", ["blue", "green", "nir"]),
        "center_wavelength": ("bands", [0.49, 0.56, 0.84]),
        **xr_coords(box),
    }
    sizes = None if chunks is None else {0: -1, 1: -1, 2: -1, 3: -1} | {DIMS.index(d): n for d, n in chunks.items()}
    lazy = values if sizes is None else da.from_array(values, sizes)
    cube = xr.DataArray(lazy, dims=DIMS, coords=coords, attrs={"title": "made", "units": "1"})
    cube.encoding["grid_mapping"] = "spatial_ref"
    return cube


def _further(cube: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the second cubes that arguments name."""
    bare = cube.drop_vars(["common_name", "center_wavelength"])
    radar = bare.isel(bands=[0, 1]).assign_coords(bands=["VV", "VH"])
    box = GeoBox.from_bbox((500_000, 5_649_940, 500_040, 5_650_000), crs="EPSG:32631", resolution=20)
    coarse = xr.DataArray(da.ones((3, 2), dtype="uint8"), dims=("y", "x"), coords=xr_coords(box))
    return {
        "other": radar,
        "early": cube.isel(t=[0]).assign_coords(t=cube["t"].values[:1] - np.timedelta64(30, "D")),
        "later": radar.assign_coords(t=cube["t"].values + np.timedelta64(1, "D")),
        "flat": bare.isel(bands=0, drop=True),
        "red": cube.isel(bands=[0]),
        "cloud": bare.isel(bands=0, drop=True) > 50,
        "coarse": coarse,
        "half": coarse,
        "normals": bare.isel(t=[0, 2]).assign_coords(t=["01", "02"]),
        "pairs": bare.isel(bands=[0, 1]).assign_coords(bands=["a~1", "b~1"]),
    }


LAYOUTS = {"tiles": {"y": 3, "x": 2}, "dates": {"t": 1, "bands": 2}, "numpy": None}


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize(("id", "case"), CASES, ids=NAMES)
def test_what_survives(registry: ProcessRegistry, id: str, case: Kept, dtype: str) -> None:
    cube = make_cube(dtype, LAYOUTS["tiles"])
    result = _built(registry, id, case, cube)
    assert result.dims == case.dims
    for name in result.dims:
        _check_labels(result, str(name), case.labels.get(str(name), slice(None)), cube)
    assert ("spatial_ref" in result.coords) == case.crs
    if case.crs:
        assert result.odc.crs == (cube.odc.crs if case.arguments.get("projection") is None else "EPSG:4326")
    whole = case.whole and dtype == "int16"
    assert result.dtype.kind == ("i" if whole else "f")
    assert dtype == "int16" or result.dtype == ("float64" if case.wide else "float32")
    assert not (set(result.attrs) | set(result.encoding)) & SCALING
    assert result.attrs.items() >= cube.attrs.items()
    computed = result.compute()
    assert (computed.dtype, computed.shape, computed.dims) == (result.dtype, result.shape, result.dims)


@pytest.mark.parametrize(("id", "case"), CASES, ids=NAMES)
def test_other_orders_of_dimensions_give_the_same(registry: ProcessRegistry, id: str, case: Kept) -> None:
    cube = make_cube("float32", {"t": 2, "y": 3})
    usual = _built(registry, id, case, cube)
    for order in [("bands", "x", "t", "y")]:
        other = _built(registry, id, case, cube.transpose(*order))
        assert set(other.dims) == set(usual.dims)
        kept = [d for d in order if d in usual.dims]
        assert [d for d in other.dims if d in kept] == kept or id in ("aggregate_spatial", "merge_cubes"), other.dims
        xr.testing.assert_allclose(other.transpose(*usual.dims).reset_coords(drop=True), usual.reset_coords(drop=True))


@pytest.mark.parametrize(("id", "case"), CASES, ids=NAMES)
def test_tiles_dates_and_numpy_agree(registry: ProcessRegistry, id: str, case: Kept) -> None:
    usual, *others = (
        _built(registry, id, case, make_cube("float32", chunks), chunks is not None) for chunks in LAYOUTS.values()
    )
    for other in others:
        xr.testing.assert_allclose(other.compute(), usual.compute())


def _built(registry: ProcessRegistry, id: str, case: Kept, cube: xr.DataArray, lazily: bool = True) -> xr.DataArray:
    """Return what a process makes of a cube, having checked that nothing computed and no input changed."""
    further = _further(cube)
    before = {name: _state(one) for name, one in {"cube": cube, **further}.items()}
    loads = {name: node("cube", cube=param(name)) for name in further}
    first = registry[id].spec["parameters"][0]["name"]
    graph = flat(**loads, made=node(id, **{first: param("cube"), **case.arguments}))
    with dask.config.set(scheduler=_refuse) if lazily else dask.config.set({}):
        result: xr.DataArray = evaluate(check_graph(graph), registry, environment(cube=cube, **further))
    assert dask.is_dask_collection(result) or not lazily
    for name, one_ in {"cube": cube, **further}.items():
        _same_state(before[name], _state(one_))
    return result


def _refuse(graph: Any, keys: Any, **_: Any) -> Any:
    raise AssertionError("computed while the graph was built")


def _state(cube: xr.DataArray) -> tuple[Any, ...]:
    values = cube.data.name if dask.is_dask_collection(cube) else cube.values.copy()
    coords = {str(name): (c.dims, c.values.copy(), dict(c.attrs)) for name, c in cube.coords.items()}
    return values, cube.dims, cube.chunks, dict(cube.attrs), dict(cube.encoding), coords, cube.name


def _same_state(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    for old, new in zip(before, after, strict=True):
        np.testing.assert_equal(new, old)


def _check_labels(result: xr.DataArray, name: str, expected: Any, cube: xr.DataArray) -> None:
    if expected is ...:
        return
    if isinstance(expected, slice):
        expected = cube[name].values[expected]
    elif len(expected) and str(expected[0]).endswith("Z"):
        expected = np.array([label[:-1] for label in expected], "datetime64[ns]")
    np.testing.assert_array_equal(result[name].values, expected)
    if name in ("band", "bands") and "common_name" in result.coords and result["common_name"].ndim:
        names = dict(zip(BANDS, ["blue", "green", "nir"], strict=True))
        found = dict(zip(result[name].values.tolist(), result["common_name"].values.tolist(), strict=True))
        assert all(found[band] == common for band, common in names.items() if band in found)
