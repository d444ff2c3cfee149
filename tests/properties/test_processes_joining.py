"""Arrays joined, picked from and reduced by geometry: any chunks, any places, as a plain loop has it."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.overrides import _zones
from processes.overrides._joining import NOWHERE, joined, picked
from tests.examples import examples
from tests.processes.graph.graphs import cube_registry, environment, flat, node, of, one, param

PLAIN = settings(
    max_examples=examples(25),
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@st.composite
def chunked(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return chunks for a shape, of any sizes."""
    return tuple(_sizes(draw, n) for n in shape)


def _sizes(draw: st.DrawFn, length: int) -> tuple[int, ...]:
    cuts = sorted(draw(st.sets(st.integers(1, length - 1)))) if length > 1 else []
    return tuple(np.diff([0, *cuts, length]).tolist())


@st.composite
def parts(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return an array and, for each axis of the result, which of its elements comes there."""
    sources = []
    for length in shape:
        count = draw(st.integers(1, length))
        places = draw(st.permutations(range(length)))[:count]
        source = np.full(length, NOWHERE)
        source[places] = draw(st.permutations(range(count)))
        sources.append(source)
    own = tuple(int((source != NOWHERE).sum()) for source in sources)
    values = draw(st.integers(0, 99)) + np.arange(np.prod(own), dtype="float32").reshape(own)
    if draw(st.booleans()):
        values.flat[:: draw(st.integers(2, 4))] = np.nan
    return values, sources


@PLAIN
@given(st.data())
def test_joined_is_what_a_loop_makes(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    arrays, sources = zip(*[data.draw(parts(shape)) for _ in range(data.draw(st.integers(1, 3)))], strict=True)
    through = data.draw(st.booleans())
    free = data.draw(st.sets(st.integers(0, 1)))
    expected = np.full(shape, np.nan, "float32")
    for values, source in zip(arrays, sources, strict=True):
        for place in np.ndindex(shape):
            at = tuple(int(s[i]) for s, i in zip(source, place, strict=True))
            if NOWHERE not in at and not (through and np.isnan(values[at])):
                expected[place] = values[at]
    np.testing.assert_array_equal(joined(arrays, sources, free, False, through), expected)
    lazy = [da.from_array(values, data.draw(chunked(values.shape))) for values in arrays]
    made = joined(lazy, sources, free, False, through)
    assert (made.shape, made.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(made.compute(scheduler="sync"), expected)


@PLAIN
@given(st.data())
def test_picked_is_fancy_indexing(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4)))
    values = np.arange(np.prod(shape), dtype="int16").reshape(shape)
    index = [np.array(data.draw(st.lists(st.integers(-1, n - 1), min_size=1, max_size=6))) for n in shape]
    made = picked(da.from_array(values, data.draw(chunked(shape))), index, data.draw(chunked(tuple(map(len, index)))))
    grid = np.meshgrid(*index, indexing="ij")
    gone = np.any([g == NOWHERE for g in grid], axis=0)
    assert made.dtype == ("float32" if gone.any() else "int16")
    np.testing.assert_array_equal(made.compute(scheduler="sync"), np.where(gone, np.nan, values[tuple(grid)]))


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return cube_registry()


REDUCERS: dict[str, dict[str, Any]] = {
    "mean": one("mean", data=param("data")),
    "all of them": one("count", data=param("data"), condition=True),
    "no gaps": one("max", data=param("data"), ignore_nodata=False),
    "last": one("last", data=param("data"), ignore_nodata=False),
    "span": {
        "process_graph": flat(
            low=node("min", data=param("data")),
            high=node("max", data=param("data")),
            made=node("subtract", x=of("high"), y=of("low")),
        )
    },
    "of anomalies": {
        "process_graph": flat(
            more=node("array_apply", data=param("data"), process=one("add", x=param("x"), y=1)),
            made=node("sum", data=of("more")),
        )
    },
}


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("reducer", [name for name in REDUCERS if name != "last"])
def test_large_geometries_are_reduced_in_parts(
    registry: ProcessRegistry, reducer: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As few bytes as one block of the smaller half of these may have.
    monkeypatch.setattr(_zones, "_BLOCK_BYTES", 600)
    test_geometries_are_reduced_together_as_one_by_one(registry, reducer, dtype)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("reducer", list(REDUCERS))
def test_geometries_are_reduced_together_as_one_by_one(registry: ProcessRegistry, reducer: str, dtype: str) -> None:
    random = np.random.default_rng(11)
    values = random.integers(0, 99, (2, 3, 20, 25)).astype(dtype)
    if dtype == "float32":
        values[random.random(values.shape) < 0.1] = np.nan
    box = GeoBox.from_bbox((500_000, 5_649_800, 500_250, 5_650_000), crs="EPSG:32631", resolution=10)
    coords = {"t": [0, 1], "bands": ["a", "b", "c"], **xr_coords(box)}
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)
    centres = random.uniform((500_000, 5_649_800), (500_250, 5_650_000), (30, 2))
    shapes = [shapely.Point(c).buffer(random.uniform(5, 60)) for c in centres] + [shapely.Point(1, 1).buffer(5)]
    results = [_aggregated(registry, one_, shapes, reducer) for one_ in (cube, cube.chunk(t=1, bands=2, y=7, x=9))]
    np.testing.assert_array_equal(results[0], results[1])
    for i, shape in enumerate(shapes):
        inside = shapely.intersects_xy(shape, *np.meshgrid(cube["x"].values, cube["y"].values))
        for t, band in np.ndindex(2, 3):
            pixels = [None if v != v else v for v in values[t, band][inside].tolist()]
            graph = check_graph(REDUCERS[reducer]["process_graph"])
            wanted = evaluate(graph, registry, environment(data=pixels)) if pixels else None
            found = results[0][i, t, band]
            assert found == pytest.approx(np.nan if wanted is None else wanted, nan_ok=True), (i, len(pixels))


def _aggregated(registry: ProcessRegistry, cube: xr.DataArray, shapes: list[Any], reducer: str) -> np.ndarray:
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)} for s in shapes]
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    geometries = {"type": "FeatureCollection", "features": features, "crs": crs}
    made = node("aggregate_spatial", data=of("load"), geometries=geometries, reducer=REDUCERS[reducer])
    graph = check_graph(flat(load=node("cube", cube=param("cube")), made=made))
    result = evaluate(graph, registry, environment(cube=cube))
    return np.asarray(result.values)
