"""Normals and anomalies, held against plain loops over dates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.overrides.aggregate_period import aggregate_temporal_period
from processes.overrides.climatology import anomaly, climatological_normal
from processes.registry import build_registry
from tests.processes.graph.graphs import flat, node, of, param, run
from tests.processes.overrides.conftest import equal, nanmean

FIRST, LAST = 2019, 2022


def dated(first: str, last: str, step: int = 1, chunks: Any = None) -> xr.DataArray:
    """A cube (t, bands, y, x) of a value every `step` days, some of them missing."""
    t = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D"), step).astype("datetime64[ns]")
    rng = np.random.default_rng(3)
    values = rng.normal(10, 3, (len(t), 2, 1, 2)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 1, 0, 1] = np.nan
    coords = {"t": t, "bands": ["a", "b"], "y": [5.0], "x": [5.0, 15.0]}
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)
    return cube if chunks is None else cube.chunk(chunks)


@pytest.fixture(params=[None, {"t": 50}, {"t": -1, "x": 1}], ids=["numpy", "t", "x"])
def weather(request: pytest.FixtureRequest) -> xr.DataArray:
    """Four years and a bit before and after."""
    return dated("2018-11-15", "2023-02-15", chunks=request.param)


def mean_where(cube: xr.DataArray, wanted: Callable[[Any], bool]) -> np.ndarray:
    """The mean of the dates that fulfil a condition on (year, month, day of the year)."""
    t = cube.indexes["t"]
    chosen = [i for i, (y, m, d) in enumerate(zip(t.year, t.month, t.dayofyear, strict=True)) if wanted((y, m, d))]
    values = cube.values[chosen].astype(float)
    valid = ~np.isnan(values)
    return np.divide(
        np.where(valid, values, 0).sum(0), valid.sum(0), out=np.full(values.shape[1:], np.nan), where=valid.sum(0) > 0
    )


def inside(date: Any) -> bool:
    return bool(FIRST <= date[0] <= LAST)


def test_months_and_the_whole_period(weather: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    months = climatological_normal(weather, "month", [FIRST, LAST])
    whole = climatological_normal(weather, "climatology-period", [FIRST, LAST])
    assert months["t"].values.tolist() == [f"{m:02d}" for m in range(1, 13)]
    assert whole["t"].values.tolist() == ["climatology-period"]
    assert months.dims == weather.dims
    raise_if_computes()
    equal(months, np.stack([mean_where(weather, lambda d, m=m: inside(d) and d[1] == m) for m in range(1, 13)]))
    equal(whole, mean_where(weather, inside)[None])


def test_days_are_the_365_of_every_year(raise_if_computes: Callable[[], None]) -> None:
    weather = dated("2019-01-01", "2023-01-01", chunks={"t": 500})
    days = climatological_normal(weather, "day", [FIRST, LAST])
    assert days["t"].values.tolist() == [f"{d:03d}" for d in range(1, 366)]
    raise_if_computes()
    expected = [mean_where(weather, lambda d, n=n: inside(d) and d[2] == n) for n in (1, 60, 365)]
    equal(days.isel(t=[0, 59, 364]), np.stack(expected))


def test_a_season_counts_with_the_year_in_which_it_ends(
    weather: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    seasons = climatological_normal(weather, "season", [FIRST, LAST])
    assert seasons["t"].values.tolist() == ["djf", "mam", "jja", "son"]
    raise_if_computes()
    # December 2018 is there, December 2022 is never taken.
    winter = mean_where(weather, lambda d: d[1] in (1, 2, 12) and FIRST <= d[0] + (d[1] == 12) <= LAST)
    spring = mean_where(weather, lambda d: inside(d) and d[1] in (3, 4, 5))
    equal(seasons.isel(t=[0, 1]), np.stack([winter, spring]))


def test_an_incomplete_first_season_is_left_out(raise_if_computes: Callable[[], None]) -> None:
    later = dated("2019-01-01", "2023-01-01", chunks={"t": 100})
    december_only = dated("2018-12-01", "2023-01-01", chunks={"t": 100})
    winter = climatological_normal(later, "season", [FIRST, LAST])
    cool = climatological_normal(december_only, "tropical-season", [FIRST, LAST])
    assert cool["t"].values.tolist() == ["ndjfma", "mjjaso"]
    raise_if_computes()
    expected = mean_where(later, lambda d: d[1] in (1, 2, 12) and FIRST < d[0] + (d[1] == 12) <= LAST)
    equal(winter.isel(t=[0]), expected[None])
    months = (11, 12, 1, 2, 3, 4)
    expected = mean_where(december_only, lambda d: d[1] in months and FIRST < d[0] + (d[1] > 4) <= LAST)
    equal(cool.isel(t=[0]), expected[None])
    equal(cool.isel(t=[1]), mean_where(december_only, lambda d: inside(d) and d[1] not in months)[None])


def test_what_has_no_values_is_no_data() -> None:
    summer = dated("2020-06-01", "2020-08-01")
    months = climatological_normal(summer, "month", [2020, 2020])
    assert np.isnan(months.values[[0, 4, 7, 11]]).all()
    assert np.isfinite(months.values[[5, 6], 0]).all()
    assert np.isnan(months.values[:, 1, 0, 1]).all()


@pytest.mark.parametrize(("years", "message"), [
    ([2018, 2022], "does not span 2018 to 2022"),
    ([2019, 2024], "does not span 2019 to 2024"),
    ([2021, 2020], "not the first and the last year"),
    (None, "does not span 1981 to 2010"),
])  # fmt: skip
def test_the_cube_must_span_the_period(years: list[int] | None, message: str) -> None:
    cube = dated("2019-01-01", "2023-01-01", 30)
    with pytest.raises(OpenEOError, match=message) as caught:
        climatological_normal(cube, "month", **({} if years is None else {"climatology_period": years}))
    assert caught.value.code == "ProcessParameterInvalid"


def test_there_is_one_temporal_dimension() -> None:
    cube = dated("2019-01-01", "2021-01-01", 30)
    with pytest.raises(OpenEOError, match="several temporal dimensions"):
        climatological_normal(cube.expand_dims(time=[1, 2]), "month", [2019, 2020])
    with pytest.raises(OpenEOError) as caught:
        climatological_normal(cube.isel(t=0, drop=True), "month", [2019, 2020])
    assert caught.value.code == "DimensionNotAvailable"


PERIODS = ["day", "week", "dekad", "month", "season", "tropical-season"]


@pytest.mark.parametrize("period", PERIODS)
def test_each_label_has_the_normal_of_its_period(
    period: str, weather: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    span = ("2020-12-20", "2021-01-10") if period == "day" else ("2019-12", "2021-03")
    data = aggregate_temporal_period(weather.sel(t=slice(*span)), period, nanmean).astype(np.float32)
    names = sorted({str(label).split("-")[1] for label in data["t"].values})
    values = np.arange(len(names), dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 1, 2), np.float32)
    normals = xr.DataArray(values, dims=data.dims, coords={**data.drop_vars("t").coords, "t": names})
    result = anomaly(data, normals.chunk() if data.chunks else normals, period)
    assert result.dims == data.dims
    assert result["t"].values.tolist() == data["t"].values.tolist()
    assert result.dtype == np.float32
    raise_if_computes()
    subtracted = [names.index(str(label).split("-")[1]) for label in data["t"].values]
    equal(result, data.values - np.array(subtracted)[:, None, None, None])


def test_hours_years_decades_and_single_periods() -> None:
    cube = xr.DataArray([1.0, 2.0, 4.0], dims="t")
    hours = cube.assign_coords(t=["2020-05-01-00", "2020-05-01-01", "2020-05-02-00"])
    daily = xr.DataArray([10.0, 20.0], dims="t", coords={"t": ["00", "01"]})
    assert anomaly(hours, daily, "hour").values.tolist() == [-9, -18, -6]
    years = cube.assign_coords(t=["2020", "2021", "2022"])
    assert anomaly(years, years[::-1], "year").values.tolist() == [0, 0, 0]
    numbered = cube.assign_coords(t=[2010, 2020, 2030])
    assert anomaly(numbered, numbered, "decade").values.tolist() == [0, 0, 0]
    any_name = xr.DataArray([1.0], dims="t", coords={"t": ["whatever"]})
    for period in ("single-period", "climatology-period"):
        assert anomaly(years, any_name, period).values.tolist() == [0, 1, 3]
    with pytest.raises(OpenEOError, match="has one label, but 't' has 2"):
        anomaly(years, daily, "single-period")


def test_dates_lie_in_periods() -> None:
    cube = dated("2020-01-30", "2020-02-03")
    normals = climatological_normal(cube, "month", [2020, 2020])
    result = anomaly(cube, normals, "month")
    equal(result, cube.values - normals.values[[0, 0, 1, 1]])
    assert result["t"].equals(cube["t"])


def test_a_366th_day_without_a_normal_is_no_data(raise_if_computes: Callable[[], None]) -> None:
    cube = dated("2019-01-01", "2021-01-01", chunks={"t": -1}).fillna(1)
    result = anomaly(cube, climatological_normal(cube, "day", [2019, 2020]), "day")
    raise_if_computes()
    assert np.isnan(result.values[-1]).all()
    equal(result.isel(t=-2), cube.values[-2] - cube.values[[364, -2]].mean(0))


def test_small_integers_become_floats() -> None:
    cube = xr.DataArray(np.array([1, 200], np.uint8), dims="t", coords={"t": ["2020", "2021"]})
    assert anomaly(cube, cube[::-1].assign_coords(t=["2020", "2021"]), "year").values.tolist() == [-199, 199]


@pytest.mark.parametrize(("change", "message"), [
    (lambda n: n.isel(t=slice(3)), "no label 04, 05"),
    (lambda n: n.isel(x=slice(1)), "labels of 'x' are not those of the data"),
    (lambda n: n.isel(bands=0, drop=True), "its dimensions are t, y, x"),
    (lambda n: n.assign_coords(bands=["b", "a"]), "labels of 'bands'"),
])  # fmt: skip
def test_normals_must_fit(change: Callable[[xr.DataArray], xr.DataArray], message: str) -> None:
    cube = dated("2020-01-01", "2020-12-31", 20)
    normals = climatological_normal(cube, "month", [2020, 2020])
    with pytest.raises(OpenEOError, match=message) as caught:
        anomaly(cube, change(normals), "month")
    assert caught.value.code == "ProcessParameterInvalid"


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def test_in_a_graph(registry: ProcessRegistry) -> None:
    cube = dated("2019-01-01", "2021-01-01", 5, chunks={"t": 20})
    normals = node("climatological_normal", data=param("cube"), period="season", climatology_period=[2019, 2020])
    graph = flat(n=normals, a=node("anomaly", data=param("cube"), normals=of("n"), period="season"))
    result = run(registry, graph, cube=cube)
    seasons = cube.groupby("t.season")
    # Both winters of 2019 and 2020 lie in part outside: the first and the last do not count.
    chosen = cube.sel(t=slice("2019-12", "2020-02"))
    expected = (seasons - seasons.mean()).where(cube["t.season"] != "DJF", cube - chosen.mean("t"))
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-4, atol=1e-4)
