"""`merge_cubes`: the specification's cases, cell by cell against a plain loop; lazy, in chunks like the inputs'."""

from __future__ import annotations

import itertools
from typing import Any

import dask
import dask.array as da
import numpy as np
import odc.geo.xr
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox

from processes.errors import OpenEOError
from processes.overrides.merge import merge_cubes
from processes.overrides.resample import resample_cube_spatial, resample_spatial

WEST, NORTH = 500_000.0, 5_650_000.0


# Nothing may compute while a graph is built.
pytestmark = pytest.mark.usefixtures("no_compute")


def make(days: list[int], bands: list[str], seed: int = 0, *, left: int = 0, lazy: bool = True) -> xr.DataArray:
    """Return a cube (days, bands, 3, 4) of float32, `left` pixels east of the corner."""
    west = WEST + 10 * left
    box = GeoBox.from_bbox((west, NORTH - 30, west + 40, NORTH), "EPSG:32631", resolution=10)
    values = np.random.default_rng(seed).random((len(days), len(bands), 3, 4), dtype=np.float32)
    times = np.datetime64("2024-01-01", "ns") + np.array(days) * np.timedelta64(1, "D")
    return xr.DataArray(
        da.from_array(values, chunks=(2, -1, 2, 2)) if lazy else values,
        dims=("t", "bands", "y", "x"),
        coords={**odc.geo.xr.xr_coords(box), "t": times, "bands": bands},
    )


def add(x: Any, y: Any, *, positional_parameters: Any, named_parameters: Any) -> Any:
    assert positional_parameters == {"x": 0, "y": 1}
    assert list(named_parameters) == ["context"]
    return x + y * (named_parameters["context"] or 1)


def cells(cube: xr.DataArray) -> dict[tuple[Any, ...], float]:
    """Return the value of each cell by its labels."""
    values = cube.data.compute(scheduler="sync") if dask.is_dask_collection(cube.data) else cube.data
    order = sorted(map(str, cube.dims))
    labels = itertools.product(*(cube[d].values.tolist() for d in order))
    moved = np.moveaxis(values, [cube.dims.index(d) for d in order], range(cube.ndim))
    return dict(zip(labels, moved.ravel().tolist(), strict=True))


def expected(cube1: xr.DataArray, cube2: xr.DataArray, labels: Any) -> dict[tuple[Any, ...], float]:
    one, two = cells(cube1), cells(cube2)
    both = {key: np.float32(one[key]) + np.float32(two[key]) for key in one.keys() & two.keys()}
    return {key: both.get(key, one.get(key, two.get(key, np.nan))) for key in labels}


CASES = {
    "disjoint bands": (make([0, 5, 10], ["B1", "B2"]), make([0, 5, 10], ["B4", "B3"], 1)),
    "disjoint bands, partly shared dates": (make([0, 5, 10], ["B1", "B2"]), make([5, 7], ["VV", "VH"], 1)),
    "disjoint dates": (make([5, 15], ["B1", "B2"]), make([0, 10], ["B1", "B2"], 1)),
    "disjoint dates and bands": (make([5, 15], ["B1"]), make([0, 10], ["B2"], 1)),
    "disjoint dates, partly shared bands": (make([5], ["B1", "B2"]), make([0], ["B3", "B2"], 1)),
    "neighbours in space": (make([0, 5], ["B1", "B2"], left=4), make([0, 5], ["B1", "B2"], 1)),
    "a gap in space": (make([0], ["B1"]), make([0], ["B1"], 1, left=6)),
    "the same labels": (make([0, 5], ["B1", "B2"]), make([0, 5], ["B1", "B2"], 1)),
    "the same labels in another order": (make([0, 5], ["B1", "B2"]), make([0, 5], ["B2", "B1"], 1)),
    "a shared band": (make([0, 5], ["B1", "B2"]), make([0, 5], ["B2", "B3"], 1)),
    "a shared band and date": (make([0, 5], ["B1", "B2"]), make([5, 3], ["B2", "B3"], 1)),
    "overlap in space": (make([0], ["B1"]), make([0], ["B1"], 1, left=2)),
}
OVERLAPPING = [name for name in CASES if name.startswith(("the same", "a shared", "overlap"))]


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_each_cell_comes_from_where_it_is(name: str, lazy: bool) -> None:
    cube1, cube2 = (cube if lazy else cube.copy(data=cube.data.compute(scheduler="sync")) for cube in CASES[name])
    before = [(cube.copy(), dict(cube.attrs)) for cube in (cube1, cube2)]
    merged = merge_cubes(cube1, cube2, add)
    assert dask.is_dask_collection(merged.data) is lazy
    assert merged.dtype == np.float32
    assert merged.dims == cube1.dims
    assert merged.odc.crs == cube1.odc.crs
    found = cells(merged)
    wanted = expected(cube1, cube2, found)
    assert all(found[key] == wanted[key] or (np.isnan(found[key]) and np.isnan(wanted[key])) for key in found)
    for cube, (copy, attrs) in zip((cube1, cube2), before, strict=True):
        assert cube.identical(copy) if not lazy else cube.coords.identical(copy.coords)
        assert cube.attrs == attrs


@pytest.mark.parametrize("name", CASES)
def test_labels_are_sorted_or_in_the_order_of_the_cubes(name: str) -> None:
    cube1, cube2 = CASES[name]
    merged = merge_cubes(cube1, cube2, add)
    assert merged["bands"].values.tolist() == list(dict.fromkeys([*cube1["bands"].values, *cube2["bands"].values]))
    assert merged["t"].values.tolist() == sorted({*cube1["t"].values.tolist(), *cube2["t"].values.tolist()})
    assert merged["x"].values.tolist() == sorted({*cube1["x"].values.tolist(), *cube2["x"].values.tolist()})
    assert (np.diff(merged["y"]) < 0).all()


@pytest.mark.parametrize("name", CASES)
def test_a_resolver_is_needed_only_where_all_labels_overlap(name: str) -> None:
    if name in OVERLAPPING:
        with pytest.raises(OpenEOError, match="overlap_resolver") as caught:
            merge_cubes(*CASES[name])
        assert caught.value.code == "OverlapResolverMissing"
    else:
        assert cells(merge_cubes(*CASES[name])).keys() == cells(merge_cubes(*CASES[name], add)).keys()


@pytest.mark.parametrize("name", CASES)
def test_bands_are_not_torn_apart(name: str) -> None:
    cube1, cube2 = CASES[name]
    merged = merge_cubes(cube1, cube2, add)
    pieces = dict(merged.chunksizes)
    assert len(pieces["bands"]) <= 2
    assert len(pieces["y"]) == 2
    assert merged.data.npartitions <= 4 * (cube1.data.npartitions + cube2.data.npartitions)


@pytest.mark.parametrize("missing", [("t",), ("bands",), ("t", "bands")])
@pytest.mark.parametrize("first", [True, False])
def test_missing_dimensions_stand_for_all_labels(missing: tuple[str, ...], first: bool) -> None:
    full = make([0, 5], ["B1", "B2"])
    flat = make([0], ["DEM"], 1).isel(dict.fromkeys(missing, 0), drop=True)
    if "bands" not in missing:
        flat = flat.assign_coords(bands=["B2"])
    elif "t" not in missing:
        flat = flat.assign_coords(t=full["t"].values[:1])
    pair = (full, flat) if first else (flat, full)
    with pytest.raises(OpenEOError) as caught:
        merge_cubes(*pair)
    assert caught.value.code == "OverlapResolverMissing"
    merged = merge_cubes(*pair, add)
    assert merged.dims == full.dims
    wide = flat.expand_dims({d: full[d] for d in missing}).transpose(*full.dims)
    found = cells(merged)
    wanted = expected(full, wide, found)
    assert found == {key: pytest.approx(value) for key, value in wanted.items()}


def test_the_context_reaches_the_resolver_and_arrays_are_lazy() -> None:
    def resolver(x: Any, y: Any, **parameters: Any) -> Any:
        assert isinstance(x, da.Array)
        assert isinstance(y, da.Array)
        return add(x, y, **parameters)

    cube1, cube2 = CASES["the same labels"]
    merged = merge_cubes(cube1, cube2, resolver, 10)
    wanted = cube1.data.compute(scheduler="sync") + 10 * cube2.data.compute(scheduler="sync")
    np.testing.assert_array_equal(merged.data.compute(scheduler="sync"), wanted)


def test_integers_and_booleans_become_floats_only_where_cells_lack() -> None:
    classes = [cube.copy(data=(cube.data * 10).astype(np.uint8)) for cube in CASES["disjoint bands"]]
    assert merge_cubes(*classes).dtype == np.uint8
    flags = [cube.copy(data=cube.data > 0.5) for cube in CASES["disjoint bands, partly shared dates"]]
    merged = merge_cubes(*flags)
    assert merged.dtype == np.float32
    assert np.isnan(merged.data.compute(scheduler="sync")).any()


def test_noise_in_pixel_centres_is_no_other_grid() -> None:
    cube1, cube2 = CASES["disjoint bands"]
    merged = merge_cubes(cube1, cube2.assign_coords(x=cube2["x"] + 1e-6))
    np.testing.assert_array_equal(merged["x"], cube1["x"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.assign_coords(x=c["x"] + 5005), "x of cube1 is .* share no area"),
        (lambda c: c.isel(y=0, drop=True).assign_coords(x=c["x"] + 3), "x of cube1 is"),
        (lambda c: c.odc.assign_crs("EPSG:32632"), "32632"),
        (lambda c: c.rename(bands="model"), "add_dimension"),
        (lambda c: c.assign_coords(t=["a", "b", "c"]), "dates in one cube"),
        (lambda c: c.assign_coords(bands=["B4", "B4"]), "more than once in cube2"),
    ],
)
def test_cubes_that_do_not_fit(change: Any, says: str) -> None:
    cube1, cube2 = CASES["disjoint bands"]
    with pytest.raises(OpenEOError, match=says) as caught:
        merge_cubes(cube1, change(cube2))
    assert caught.value.code == "IncompatibleDataCubes"


def shifted(cube: xr.DataArray) -> xr.DataArray:
    return cube.assign_coords(x=cube["x"] + 4)


def coarser(cube: xr.DataArray) -> xr.DataArray:
    return cube.assign_coords(y=NORTH - np.arange(cube.sizes["y"]) * 20 - 10)


def elsewhere(cube: xr.DataArray) -> xr.DataArray:
    moved: xr.DataArray = resample_spatial(cube, projection=32632)
    return moved


@pytest.mark.parametrize("change", [shifted, coarser, elsewhere])
@pytest.mark.parametrize("both", [False, True])
def test_other_grids_are_resampled_as_by_hand(change: Any, both: bool) -> None:
    cube1, cube2 = CASES["disjoint bands"]
    cube2 = change(cube2 if not both else cube2.assign_coords(bands=cube1["bands"].values[: cube2.sizes["bands"]]))
    resolver = (lambda x, y, **_: da.maximum(x, y)) if both else None
    merged = merge_cubes(cube1, cube2, resolver)
    wanted = merge_cubes(cube1, resample_cube_spatial(cube2, cube1), resolver)
    assert dask.is_dask_collection(merged.data)
    assert merged.odc.geobox == cube1.odc.geobox
    xr.testing.assert_equal(merged.compute(scheduler="sync"), wanted.compute(scheduler="sync"))


def test_a_further_dimension_keeps_both_values() -> None:
    cube1, cube2 = CASES["the same labels"]
    merged = merge_cubes(cube1.expand_dims(source=["a"]), cube2.expand_dims(source=["b"]))
    assert merged["source"].values.tolist() == ["a", "b"]
    np.testing.assert_array_equal(
        merged.isel(source=1).data.compute(scheduler="sync"), cube2.data.compute(scheduler="sync")
    )
