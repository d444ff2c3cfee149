"""Windows of pixels, held against plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.overrides.windows import aggregate_spatial_window
from processes.registry import build_registry
from tests.processes.graph.graphs import flat, node, one, param, run
from tests.processes.overrides.conftest import equal, make_cube, nanmean, scaled_mean

ALIGNS = ["upper-left", "lower-left", "upper-right", "lower-right"]


def windows_of(n: int, size: int, boundary: str, at_start: bool) -> list[range]:
    """The pixels of each window along one axis; those beyond the cube are outside of 0 to n."""
    over = n % size
    if boundary == "trim":
        first, count = (over if at_start else 0), n // size
    else:
        first, count = (-((size - over) % size) if at_start else 0), -(-n // size)
    return [range(first + i * size, first + (i + 1) * size) for i in range(count)]


def expected_means(cube: xr.DataArray, size: list[int], boundary: str, align: str) -> tuple[np.ndarray, Any, Any]:
    """Means and labels, for a cube with the north first."""
    rows = windows_of(6, size[1], boundary, align.startswith("lower"))
    columns = windows_of(7, size[0], boundary, align.endswith("right"))
    result = np.full((6, 3, len(rows), len(columns)), np.nan)
    for i, ys in enumerate(rows):
        for j, xs in enumerate(columns):
            inside = np.ix_(range(6), range(3), [y for y in ys if 0 <= y < 6], [x for x in xs if 0 <= x < 7])
            values = cube.values[inside].reshape(6, 3, -1).astype(float)
            valid = ~np.isnan(values)
            total = np.where(valid, values, 0).sum(-1)
            result[:, :, i, j] = np.where(valid.any(-1), total / np.maximum(valid.sum(-1), 1), np.nan)
    y = [5700055 - 10 * np.mean(r) for r in rows]
    x = [500005 + 10 * np.mean(c) for c in columns]
    return result, y, x


@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("size", [[2, 4], [3, 3], [1, 1], [7, 6]])
def test_each_window_is_reduced(size: list[int], boundary: str, align: str) -> None:
    cube = make_cube()
    result = aggregate_spatial_window(cube, nanmean, size, boundary, align)
    values, y, x = expected_means(cube, size, boundary, align)
    equal(result, values)
    np.testing.assert_allclose(result["y"], y)
    np.testing.assert_allclose(result["x"], x)
    np.testing.assert_array_equal(result["t"], cube["t"])


@pytest.mark.parametrize(("boundary", "align"), [("pad", "upper-left"), ("trim", "lower-right")])
def test_chunks_make_no_difference(
    boundary: str, align: str, cube: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    result = aggregate_spatial_window(cube, scaled_mean, [3, 4], boundary, align)
    assert result.odc.crs == cube.odc.crs
    assert result.chunks is None if cube.chunks is None else result.chunks is not None
    equal(result, 2 * expected_means(make_cube(), [3, 4], boundary, align)[0] + 1, raise_if_computes)


@pytest.mark.parametrize("align", ALIGNS)
def test_where_the_south_comes_first(align: str) -> None:
    cube = make_cube()
    turned = aggregate_spatial_window(cube.isel(y=slice(None, None, -1)), nanmean, [2, 4], "pad", align)
    straight = aggregate_spatial_window(cube, nanmean, [2, 4], "pad", align)
    equal(turned.isel(y=slice(None, None, -1)), straight.values)
    np.testing.assert_allclose(turned["y"][::-1], straight["y"])


def test_a_window_larger_than_the_cube() -> None:
    cube = make_cube()
    padded = aggregate_spatial_window(cube, nanmean, [10, 8])
    equal(padded, expected_means(cube, [10, 8], "pad", "upper-left")[0])
    assert padded["x"].values.tolist() == [500050]
    assert padded["y"].values.tolist() == [5700020]
    with pytest.raises(OpenEOError, match="7 pixels along x, fewer than 10") as caught:
        aggregate_spatial_window(cube, nanmean, [10, 1], "trim")
    assert caught.value.code == "ProcessParameterInvalid"


def test_the_size_of_a_single_window_is_known() -> None:
    cube = make_cube()
    whole = aggregate_spatial_window(cube, nanmean, [7, 6])
    assert whole.rio.transform() == Affine(70, 0, 500000, 0, -60, 5700060)
    several = aggregate_spatial_window(cube, nanmean, [2, 3])
    assert several.isel(x=slice(1, None)).rio.transform() == Affine(20, 0, 500020, 0, -30, 5700060)
    assert float(cube["spatial_ref"].attrs["GeoTransform"].split()[1]) == 10


def test_a_single_row_of_pixels() -> None:
    strip = make_cube().isel(y=[2])
    result = aggregate_spatial_window(strip, nanmean, [7, 2])
    assert result["y"].values.tolist() == [5700030]  # half a pixel south of 5700035
    equal(result[..., 0, 0], nanmean(strip.values[:, :, 0], axis=2, keepdims=False))


def test_integers_stay_so_unless_padded() -> None:
    cube = make_cube("uint16")

    def largest(values: Any, axis: int, **_: Any) -> Any:
        return values.max(axis=axis)

    trimmed = aggregate_spatial_window(cube, largest, [2, 2], "trim")
    padded = aggregate_spatial_window(cube, nanmean, [2, 4])
    assert trimmed.dtype == np.uint16
    equal(trimmed, cube.values[..., :6].reshape(6, 3, 3, 2, 3, 2).max(axis=(3, 5)))
    equal(padded, expected_means(cube, [2, 4], "pad", "upper-left")[0])


@pytest.mark.parametrize("size", [[2], [0, 2], [2.5, 2], [2, 2, 2]])
def test_sizes_are_two_whole_numbers(size: list[Any]) -> None:
    with pytest.raises(OpenEOError, match="two whole numbers"):
        aggregate_spatial_window(make_cube(), nanmean, size)


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def test_in_a_graph(registry: ProcessRegistry, cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    arguments = {"data": param("cube"), "size": [2, 4]}
    mean = flat(a=node("aggregate_spatial_window", reducer=one("mean", data=param("data")), **arguments))
    count = flat(
        a=node("aggregate_spatial_window", reducer=one("count", data=param("data"), condition=True), **arguments)
    )
    means, counts = run(registry, mean, cube=cube), run(registry, count, cube=cube)
    equal(means, expected_means(make_cube(), [2, 4], "pad", "upper-left")[0], raise_if_computes)
    assert (counts.values == 8).all()
