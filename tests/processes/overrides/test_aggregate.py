"""aggregate_temporal, aggregate_temporal_period and aggregate_spatial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from processes.errors import OpenEOError
from processes.overrides.aggregate_period import aggregate_temporal_period
from processes.overrides.aggregate_spatial import aggregate_spatial
from processes.overrides.aggregate_temporal import aggregate_temporal
from processes.overrides.mask import mask_polygon
from tests.processes.overrides.conftest import DATES, equal, make_cube, nanmean, scaled_mean, span

CRS = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}


def by_loop(groups: list[list[int]], reducer: Callable[..., Any]) -> np.ndarray:
    values = make_cube().values
    nothing = np.full(values.shape[1:], np.nan)
    empty = reducer(nothing[None], axis=0, keepdims=False)
    return np.stack([reducer(values[g], axis=0, keepdims=False) if g else empty for g in groups])


@pytest.mark.parametrize("reducer", [nanmean, span, scaled_mean])
def test_intervals_are_half_open_may_overlap_and_be_empty(
    cube: xr.DataArray, reducer: Callable[..., Any], raise_if_computes: Callable[[], None]
) -> None:
    intervals = [
        ["2024-01-01", "2024-02-10"],
        ["2024-01-31T18:00:00Z", "2024-03-01T00:00:00+00:00"],
        ["2023-01-01", "2023-02-01"],
        ["2024-02-29T12:00:00+02:00", None],
    ]
    result = aggregate_temporal(cube, intervals, reducer)
    assert list(result["t"].values) == [i[0] for i in intervals]
    assert result.dims == cube.dims
    assert result.odc.crs.epsg == 32631
    assert result.attrs == {"title": "made"}
    equal(result, by_loop([[0, 1, 2], [1, 2, 3, 4], [], [4, 5]], reducer), raise_if_computes)


def test_clock_times_wrap_over_midnight(cube: xr.DataArray) -> None:
    result = aggregate_temporal(cube, [["06:00:00", "18:00:00"], ["18:00:00", "06:00:00"]], nanmean)
    assert list(result["t"].values) == ["06:00:00", "18:00:00"]
    equal(result, by_loop([[0, 2, 4], [1, 3, 5]], nanmean))


def test_labels_replace_starts_and_can_be_written(cube: xr.DataArray, tmp_path: Path) -> None:
    intervals = [["2024-01-01", "2024-02-01"], ["2024-01-01", "2024-03-01"]]
    with pytest.raises(OpenEOError) as error:
        aggregate_temporal(cube, intervals, nanmean)
    assert error.value.code == "DistinctDimensionLabelsRequired"
    result = aggregate_temporal(cube, intervals, nanmean, labels=["a", "b"])
    result.to_netcdf(tmp_path / "cube.nc")
    with xr.open_dataarray(tmp_path / "cube.nc") as read:
        assert list(read["t"].values) == ["a", "b"]
    assert list(aggregate_temporal(cube, intervals, nanmean, labels=[1, 2])["t"].values) == [1, 2]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"intervals": [["2024-02-01", "2024-02-01"]]}, "TemporalExtentEmpty"),
        ({"intervals": [["2025-01-01", "2024-01-01"]]}, "TemporalExtentEmpty"),
        ({"intervals": [["06:00:00", "06:00:00"]]}, "TemporalExtentEmpty"),
        ({"intervals": [["06:00:00", "2024-01-01"]]}, "ProcessParameterInvalid"),
        ({"intervals": [["soon", "2024-01-01"]]}, "ProcessParameterInvalid"),
        ({"labels": ["a", "b"]}, "ProcessParameterInvalid"),
        ({"dimension": "time"}, "DimensionNotAvailable"),
        ({"data": make_cube().isel(t=0, drop=True)}, "DimensionNotAvailable"),
        ({"data": make_cube().expand_dims(t2=DATES[:2])}, "TooManyDimensions"),
    ],
)
def test_wrong_intervals_have_codes(change: dict[str, Any], code: str) -> None:
    given = {"data": make_cube(), "intervals": [["2024-01-01", "2025-01-01"]], "reducer": nanmean}
    with pytest.raises(OpenEOError) as error:
        aggregate_temporal(**(given | change))
    assert error.value.code == code


def test_integers_stay_integers_without_empty_intervals() -> None:
    cube = make_cube("uint8").chunk({"t": 2})
    largest = lambda v, axis, **_: v.max(axis=axis)  # noqa: E731
    assert aggregate_temporal(cube, [["2024-01-01", "2025-01-01"]], largest).dtype == np.uint8
    gaps = aggregate_temporal(cube, [["2024-01-01", "2025-01-01"], ["2020-01-01", "2021-01-01"]], largest)
    assert gaps.dtype == np.float32
    assert np.isnan(gaps.values[1]).all()


@pytest.mark.parametrize(
    ("period", "dates", "labels", "groups"),
    [
        (
            "hour",
            ["2020-06-01T00:00", "2020-06-01T00:59:59", "2020-06-01T02"],
            ["2020-06-01-00", "2020-06-01-01", "2020-06-01-02"],
            [[0, 1], [], [2]],
        ),
        ("day", ["2020-12-30", "2021-01-01T23"], ["2020-365", "2020-366", "2021-001"], [[0], [], [1]]),
        (
            "week",
            ["2022-12-18T23:59:59", "2022-12-19", "2023-01-01T12", "2023-01-02"],
            ["2022-50", "2022-51", "2022-52", "2023-01"],
            [[0], [1], [2], [3]],
        ),
        ("week", ["2019-12-30", "2020-12-31", "2021-01-03"], None, None),
        (
            "dekad",
            ["2024-01-28", "2024-01-31", "2024-02-01", "2024-02-10", "2024-02-29"],
            ["2024-03", "2024-04", "2024-05", "2024-06"],
            [[0, 1], [2, 3], [], [4]],
        ),
        ("dekad", ["2023-12-31", "2024-01-01"], ["2023-36", "2024-01"], [[0], [1]]),
        ("month", ["2023-11-30", "2024-01-01"], ["2023-11", "2023-12", "2024-01"], [[0], [], [1]]),
        (
            "season",
            ["2023-12-01", "2024-02-29", "2024-03-01", "2024-11-30"],
            ["2023-djf", "2024-mam", "2024-jja", "2024-son"],
            [[0, 1], [2], [], [3]],
        ),
        (
            "tropical-season",
            ["2023-11-01", "2024-04-30", "2024-05-01", "2024-11-30"],
            ["2023-ndjfma", "2024-mjjaso", "2024-ndjfma"],
            [[0, 1], [2], [3]],
        ),
        ("year", ["2020-01-01", "2020-06-01", "2022-12-31"], ["2020", "2021", "2022"], [[0, 1], [], [2]]),
        (
            "decade",
            ["1969-12-31", "2020-01-01", "2029-12-31T23"],
            ["1960", "1970", "1980", "1990", "2000", "2010", "2020"],
            [[0], [], [], [], [], [], [1, 2]],
        ),
        (
            "decade-ad",
            ["2020-01-01", "2021-01-01", "2030-12-31", "2041-01-01"],
            ["2011", "2021", "2031", "2041"],
            [[0], [1, 2], [], [3]],
        ),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_periods_have_the_labels_of_the_specification(
    period: str, dates: list[str], labels: list[str] | None, groups: list[list[int]] | None, lazy: bool
) -> None:
    cube = make_cube().isel(t=slice(0, len(dates))).assign_coords(t=np.array(dates, "datetime64[ns]"))
    result = aggregate_temporal_period(cube.chunk({"t": 2}) if lazy else cube, period, nanmean)
    if labels is None or groups is None:
        # 2020 has 53 ISO weeks.
        assert list(result["t"].values) == [f"2020-{w:02d}" for w in range(1, 54)]
        return
    assert list(result["t"].values) == labels
    equal(result, by_loop(groups, nanmean))


def test_periods_compute_nothing_and_take_dates_in_any_order(raise_if_computes: Callable[[], None]) -> None:
    cube = make_cube().chunk({"t": 1}).isel(t=[5, 2, 0, 4, 1, 3])
    result = aggregate_temporal_period(cube, "month", span)
    equal(result, by_loop([[0, 1], [2, 3, 4], [5]], span), raise_if_computes)


def test_count_of_an_empty_period_is_zero() -> None:
    cube = make_cube().isel(t=[0, 5]).chunk({"t": 1})
    valid = lambda v, axis, **_: (~np.isnan(v)).sum(axis=axis)  # noqa: E731
    result = aggregate_temporal_period(cube, "month", valid)
    assert result.dtype.kind == "i"
    assert (result.values[1] == 0).all()


def test_an_unknown_period_lists_the_known() -> None:
    with pytest.raises(OpenEOError, match=r"fortnight.*dekad"):
        aggregate_temporal_period(make_cube(), "fortnight", nanmean)


# Pixels are 10 m from (500000, 5700060): centres at 500005 + 10 i and 5700055 - 10 j.
SQUARE = shapely.box(500005, 5700025, 500025, 5700045)
TRIANGLE = shapely.Polygon([(500031, 5700001), (500069, 5700001), (500069, 5700059)])


def collection(*shapes: Any, **properties: list[Any]) -> dict[str, Any]:
    features = [
        {
            "type": "Feature",
            "geometry": None if shape is None else shapely.geometry.mapping(shape),
            "properties": {k: v[i] for k, v in properties.items()} or None,
        }
        for i, shape in enumerate(shapes)
    ]
    return {"type": "FeatureCollection", "crs": CRS, "features": features}


def zone(shape: Any, reducer: Callable[..., Any]) -> np.ndarray:
    cube = make_cube()
    points = [(j, i) for j, y in enumerate(cube.y.values) for i, x in enumerate(cube.x.values)]
    inside = [p for p in points if shape.intersects(shapely.Point(cube.x.values[p[1]], cube.y.values[p[0]]))]
    values = np.stack([cube.values[:, :, j, i] for j, i in inside], axis=-1)
    return np.asarray(reducer(values, axis=2, keepdims=False))


@pytest.mark.parametrize("reducer", [nanmean, span, scaled_mean])
def test_polygons_take_the_centres_that_they_touch(
    cube: xr.DataArray, reducer: Callable[..., Any], raise_if_computes: Callable[[], None]
) -> None:
    result = aggregate_spatial(cube, collection(SQUARE, TRIANGLE), reducer)
    assert result.dims == ("geometry", "t", "bands")
    assert result.xvec.is_geom_variable("geometry")
    assert result["geometry"].values[0] == SQUARE
    assert "spatial_ref" not in result.coords
    equal(result, np.stack([zone(SQUARE, reducer), zone(TRIANGLE, reducer)]), raise_if_computes)


def test_points_lines_and_what_lies_outside(cube: xr.DataArray) -> None:
    point = shapely.Point(500012, 5700033)
    line = shapely.LineString([(500001, 5700055), (500029, 5700055)])
    result = aggregate_spatial(cube, collection(point, line, shapely.box(0, 0, 9, 9), shapely.Polygon(), None), nanmean)
    values = make_cube().values
    equal(result.isel(geometry=0), values[:, :, 2, 1])
    equal(result.isel(geometry=1), nanmean(values[:, :, 0, :3], axis=2, keepdims=False))
    assert np.isnan(result.values[2:]).all()


@pytest.mark.parametrize("kind", ["Polygon", "Feature", "FeatureCollection"])
def test_geojson_is_in_degrees_and_keeps_its_reference_system(kind: str) -> None:
    import geopandas as gpd

    degrees = gpd.GeoSeries([SQUARE.buffer(2)], crs="EPSG:32631").to_crs(4326)[0]
    geojson: dict[str, Any] = shapely.geometry.mapping(degrees)
    if kind != "Polygon":
        geojson = {"type": "Feature", "geometry": geojson, "properties": None}
    if kind == "FeatureCollection":
        geojson = {"type": "FeatureCollection", "features": [geojson]}
    result = aggregate_spatial(make_cube().chunk({"x": 2}), geojson, nanmean)
    equal(result, zone(SQUARE, nanmean)[None])
    assert result["geometry"].attrs["crs"].to_epsg() == 4326


def test_long_edges_are_straight_in_degrees_as_those_of_masks() -> None:
    box = GeoBox.from_bbox((400_000, 5_650_000, 600_000, 5_654_000), crs="EPSG:32631", resolution=100)
    ones = xr.DataArray(np.ones(box.shape, np.float32), dims=("y", "x"), coords=xr_coords(box))
    field = shapely.geometry.mapping(shapely.box(1.7, 50.9, 4.3, 51.02))  # its upper edge bends by 800 m
    inside = mask_polygon(ones, field)
    assert 0.1 < float(inside.notnull().mean()) < 0.9
    result = aggregate_spatial(ones, field, lambda values, axis, **_: values.sum(axis=axis))
    # Of 42330 pixels; with edges that are straight in UTM it would be 52896.
    assert abs(float(result[0]) - float(inside.sum())) < 5


def test_properties_stay_and_counts_are_added(cube: xr.DataArray) -> None:
    shapes = collection(SQUARE, TRIANGLE, name=["a", None], area=[1.5, 2.5], t=["no", "no"])
    result = aggregate_spatial(cube, shapes, nanmean, target_dimension="stats")
    assert result.dims == ("geometry", "t", "bands", "stats")
    assert list(result["name"].values) == ["a", ""]
    assert list(result["area"].values) == [1.5, 2.5]
    assert (result.sel(stats="total_count").values[0] == 9).all()
    valid = zone(SQUARE, lambda v, axis, **_: (~np.isnan(v)).sum(axis=axis))
    equal(result.sel(stats="valid_count").isel(geometry=0), valid)
    equal(result.sel(stats="value").isel(geometry=1), zone(TRIANGLE, nanmean))
    with pytest.raises(OpenEOError) as error:
        aggregate_spatial(cube, shapes, nanmean, target_dimension="bands")
    assert error.value.code == "TargetDimensionExists"


def test_a_vector_cube_gives_its_geometries() -> None:
    first = aggregate_spatial(make_cube(), collection(SQUARE, TRIANGLE), nanmean)
    equal(aggregate_spatial(make_cube(), first, nanmean), first.values)
