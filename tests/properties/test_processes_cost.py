"""What must not grow: tasks, bytes, and the blocks that cubes are in. Counted, never timed."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from dask._task_spec import Alias
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import cube_registry, environment, flat, node, of, one, param

DATA, X, Y = param("data"), param("x"), param("y")
TILES, SCENES = (-1, -1, 256, 256), (1, -1, -1, -1)
UTM = {"type": "name", "properties": {"name": "EPSG:32631"}}


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return cube_registry()


def make(
    dates: int, bands: list[str], chunks: Any = TILES, *, size: int = 1024, start: int = 0, step: int = 10
) -> xr.DataArray:
    """Return a lazy cube of nothing: every five days from `start` hours after midnight."""
    t = np.datetime64("2022-01-01", "ns") + start * np.timedelta64(1, "h") + np.arange(dates) * np.timedelta64(5, "D")
    box = GeoBox.from_bbox(
        (500_000, 5_000_000, 500_000 + size * step, 5_000_000 + size * step), "EPSG:32631", resolution=step
    )
    values = da.zeros((dates, len(bands), size, size), dtype="float32", chunks=chunks)
    coords = {"t": t, "bands": bands, **xr_coords(box)}
    return xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)


def tasks(*cubes: xr.DataArray) -> int:
    """Return how many tasks cubes take after Dask's optimisation."""
    return sum(_tasks(cube) for cube in cubes)


def _tasks(cube: xr.DataArray) -> int:
    (optimised,) = dask.optimize(cube)
    return sum(not isinstance(task, Alias) for task in dict(optimised.__dask_graph__()).values())


def run(registry: ProcessRegistry, id: str, cube: xr.DataArray, **arguments: Any) -> xr.DataArray:
    first = registry[id].spec["parameters"][0]["name"]
    further = {name: value for name, value in arguments.items() if isinstance(value, xr.DataArray)}
    asked = {name: param(name) if name in further else value for name, value in arguments.items()}
    graph = flat(load=node("cube", cube=param("load")), made=node(id, **{first: of("load"), **asked}))
    made: xr.DataArray = evaluate(check_graph(graph), registry, environment(load=cube, **further))
    return made


MERGED = {
    "other dates": (["B04", "B08"], 2),
    "other dates and bands": (["VV", "VH"], 2),
}


@pytest.mark.parametrize("chunks", [TILES, SCENES])
@pytest.mark.parametrize("name", list(MERGED))
def test_merging_costs_no_more_tasks_than_its_inputs(registry: ProcessRegistry, name: str, chunks: Any) -> None:
    bands, start = MERGED[name]
    cube1, cube2 = make(146, ["B04", "B08"], chunks), make(60, bands, chunks, start=start)
    merged = run(registry, "merge_cubes", cube1, cube2=cube2)
    assert tasks(merged) <= 1.25 * tasks(cube1, cube2)
    cells = 206 * merged.sizes["bands"] * 1024**2
    assert merged.nbytes == cells * 4
    # One block of dates and bands where the inputs have one; a date each where they have that.
    assert merged.data.numblocks == ((1, 1, 4, 4) if chunks == TILES else (206, 1, 1, 1))


def test_merging_with_a_resolver_only_adds_the_resolvers_tasks(registry: ProcessRegistry) -> None:
    cube1, cube2 = make(146, ["B04", "B08"]), make(146, ["B04", "B08"])
    merged = run(registry, "merge_cubes", cube1, cube2=cube2, overlap_resolver=one("add", x=X, y=Y))
    assert merged.chunks == cube1.chunks
    assert tasks(merged) <= tasks(cube1, cube2)
    # What both have is one piece of the result.
    part = run(registry, "merge_cubes", cube1, cube2=make(60, ["B08", "B11"]), overlap_resolver=one("add", x=X, y=Y))
    assert part.data.numblocks == (1, 1, 4, 4)
    assert tasks(part) <= 6 * 16


@pytest.mark.parametrize("chunks", [TILES, SCENES])
@pytest.mark.parametrize("step", [10, 20])
def test_masking_costs_no_more_tasks_than_its_inputs(registry: ProcessRegistry, step: int, chunks: Any) -> None:
    cube = make(146, ["B04", "B08"], chunks)
    small = tuple(n * 10 // step if n > 1 else n for n in chunks)
    clouds = make(146, ["SCL"], small, size=10240 // step, step=step).isel(bands=0, drop=True)
    masked = run(registry, "mask", cube, mask=clouds)
    assert masked.chunks == cube.chunks
    assert masked.nbytes == cube.nbytes
    assert tasks(masked) <= 1.25 * tasks(cube, clouds)


def test_a_thousand_polygons_cost_a_few_tasks(registry: ProcessRegistry) -> None:
    random = np.random.default_rng(1)
    middles = random.uniform((500_000, 5_000_000), (510_240, 5_010_240), (1000, 2))
    shapes = [shapely.Point(p).buffer(random.uniform(30, 150)) for p in middles]
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)} for s in shapes]
    geometries = {"type": "FeatureCollection", "features": features, "crs": UTM}
    cube = make(20, ["B04"], TILES)
    made = run(registry, "aggregate_spatial", cube, geometries=geometries, reducer=one("mean", data=DATA))
    assert made.shape == (1000, 20, 1)
    assert tasks(made) <= 200


def test_polygons_read_the_blocks_that_they_lie_in(registry: ProcessRegistry) -> None:
    squares = [shapely.box(500_000 + 500 * i, 5_000_000, 500_400 + 500 * i, 5_000_400) for i in range(20)]
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)} for s in squares]
    geometries = {"type": "FeatureCollection", "features": features, "crs": UTM}
    process = one("apply", data=DATA, process=one("add", x=X, y=1))
    cube = make(20, ["B04"], TILES)
    made = run(registry, "apply_polygon", cube, geometries=geometries, process=process)
    assert made.chunks == cube.chunks
    # Each of the 20 squares lies in one block or two of 16.
    assert tasks(made) <= 8 * 20 + 4 * 16


@pytest.mark.parametrize("chunks", [TILES, SCENES])
def test_periods_are_read_once_each(registry: ProcessRegistry, chunks: Any) -> None:
    cube = make(73, ["B04"], chunks)
    made = run(registry, "aggregate_temporal_period", cube, period="month", reducer=one("median", data=DATA))
    assert made.sizes["t"] == 12
    assert tasks(made) <= 2 * 12 * made.data.numblocks[2] * made.data.numblocks[3] + 3 * tasks(cube)


@pytest.mark.parametrize(
    ("id", "arguments"),
    [
        ("apply", {"process": one("linear_scale_range", x=X, inputMin=0, inputMax=1)}),
        ("filter_bands", {"bands": ["B08", "B04"]}),
        ("ndvi", {"nir": "B08", "red": "B04"}),
        ("reduce_dimension", {"dimension": "t", "reducer": one("mean", data=DATA)}),
        ("reduce_dimension", {"dimension": "bands", "reducer": one("array_element", data=DATA, label="B08")}),
        ("reduce_dimension", {"dimension": "t", "reducer": one("median", data=DATA)}),
        ("apply_dimension", {"dimension": "t", "process": one("array_interpolate_linear", data=DATA)}),
        ("apply_dimension", {"dimension": "t", "process": one("cumsum", data=DATA)}),
        ("mask_polygon", {"mask": {**shapely.geometry.mapping(shapely.box(5e5, 5e6, 5.05e5, 5.01e6)), "crs": UTM}}),
        ("rename_labels", {"dimension": "bands", "source": ["B04"], "target": ["red"]}),
    ],
)
def test_work_on_blocks_joins_their_tasks(registry: ProcessRegistry, id: str, arguments: dict[str, Any]) -> None:
    cube = make(70, ["B04", "B08"])
    made = run(registry, id, cube, **arguments)
    assert made.data.numblocks[-2:] == (4, 4)
    # Reductions and masks have a few of their own; none of them splits or joins blocks.
    assert tasks(made) <= 4 * tasks(cube)
