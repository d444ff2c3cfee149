"""Curves fitted, held against NumPy's and SciPy's own fits, and predicted again."""

from __future__ import annotations

from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy.optimize import curve_fit

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.registry import build_registry
from tests.processes.graph.graphs import callback, flat, node, of, param, run

Graph = dict[str, Any]
YEAR = 31557600
CHUNKS = [None, {"t": 7, "x": 2}, {"t": -1, "bands": 1, "y": 1}]


def parameter_at(index: int) -> Graph:
    return node("array_element", data=param("parameters"), index=index)


def season() -> Graph:
    """p0 + p1 cos(wx) + p2 sin(wx), with a wave a year."""
    return callback(
        a=parameter_at(0),
        b=parameter_at(1),
        c=parameter_at(2),
        wx=node("multiply", x=param("x"), y=2 * np.pi / YEAR),
        cos=node("cos", x=of("wx")),
        sin=node("sin", x=of("wx")),
        even=node("multiply", x=of("b"), y=of("cos")),
        odd=node("multiply", x=of("c"), y=of("sin")),
        wave=node("add", x=of("even"), y=of("odd")),
        all=node("add", x=of("a"), y=of("wave")),
    )


def decay() -> Graph:
    """p0 exp(-p1 x), which is not linear in its parameters."""
    return callback(
        a=parameter_at(0),
        b=parameter_at(1),
        bx=node("multiply", x=of("b"), y=param("x")),
        minus=node("multiply", x=of("bx"), y=-1),
        e=node("exp", p=of("minus")),
        all=node("multiply", x=of("a"), y=of("e")),
    )


def dated(chunks: Any = None) -> xr.DataArray:
    """A cube (t, bands, y, x) of 40 dates with a season in it, noise and gaps; one pixel is empty."""
    rng = np.random.default_rng(11)
    t = np.datetime64("2021-03-01", "ns") + np.arange(40) * np.timedelta64(11, "D")
    phase = 2 * np.pi * seconds(t) / YEAR
    true = rng.normal(0, 1, (3, 2, 3, 4))
    waves = np.stack([np.ones(40), np.cos(phase), np.sin(phase)], axis=1)
    values = (np.tensordot(waves, true, 1) + rng.normal(0, 0.1, (40, 2, 3, 4))).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 0, 1, 2] = np.nan
    values[2:, 1, 0, 0] = np.nan
    coords = {"t": t, "bands": ["a", "b"], "y": [2.0, 1.0, 0.0], "x": [0.0, 1.0, 2.0, 3.0]}
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)
    return cube if chunks is None else cube.chunk(chunks)


def seconds(t: np.ndarray) -> np.ndarray:
    return (t - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "s")


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def lazily(registry: ProcessRegistry, graph: Graph, cube: xr.DataArray) -> xr.DataArray:
    """Evaluate a graph in which nothing may compute."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        return run(registry, graph, cube=cube)


def fitting(function: Graph, guess: list[float], dimension: str = "t", **more: Any) -> Graph:
    fit = node("fit_curve", data=param("data"), parameters=guess, function=function, **more)
    return node("apply_dimension", data=param("cube"), dimension=dimension, process=callback(fit=fit))


@pytest.mark.parametrize("chunks", CHUNKS, ids=["numpy", "small", "bands"])
def test_a_linear_model_has_the_parameters_of_linear_least_squares(registry: ProcessRegistry, chunks: Any) -> None:
    cube = dated(chunks)
    fitted = lazily(registry, flat(fit=fitting(season(), [1, 1, 1])), cube=cube)
    assert fitted.dims == cube.dims
    assert fitted["t"].values.tolist() == [0, 1, 2]
    assert isinstance(fitted.data, da.Array) == (chunks is not None)
    found, values = fitted.values, cube.values.astype(float)
    phase = 2 * np.pi * seconds(cube["t"].values) / YEAR
    waves = np.stack([np.ones(40), np.cos(phase), np.sin(phase)], axis=1)
    for index in np.ndindex(values.shape[1:]):
        y = values[(slice(None), *index)]
        valid = ~np.isnan(y)
        if valid.sum() < 3:
            assert np.isnan(found[(slice(None), *index)]).all()
        else:
            expected = np.linalg.lstsq(waves[valid], y[valid])[0]
            np.testing.assert_allclose(found[(slice(None), *index)], expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(found[0]).sum() == 2


def test_a_model_that_is_not_linear_has_those_of_scipy(registry: ProcessRegistry) -> None:
    x = np.linspace(0, 4, 25)
    rng = np.random.default_rng(4)
    values = np.array([[3.0], [5.0]]) * np.exp(-np.array([[0.5], [1.5]]) * x) + rng.normal(0, 0.05, (2, 25))
    cube = xr.DataArray(values, dims=("pixel", "depth"), coords={"depth": x})
    fitted = run(registry, flat(fit=fitting(decay(), [1, 1], "depth")), cube=cube)
    for y, found in zip(values, fitted.values, strict=True):
        expected, _ = curve_fit(lambda x, a, b: a * np.exp(-b * x), x, y, [1, 1])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_data_is_left_out_or_spoils_the_fit(registry: ProcessRegistry) -> None:
    cube = dated().fillna(0)
    cube[5, 0, 0, 0] = np.nan
    kept = run(registry, flat(fit=fitting(season(), [1, 1, 1])), cube=cube)
    spoilt = run(registry, flat(fit=fitting(season(), [1, 1, 1], ignore_nodata=False)), cube=cube)
    assert np.isfinite(kept.values).all()
    assert np.argwhere(np.isnan(spoilt.values)).tolist() == [[p, 0, 0, 0] for p in range(3)]
    np.testing.assert_array_equal(spoilt.values[:, 1], kept.values[:, 1])


def test_what_has_no_minimum_is_no_data(registry: ProcessRegistry) -> None:
    infinite = xr.DataArray([[1.0, np.inf, 2.0, 3.0]], dims=("x", "depth"), coords={"depth": [0.0, 1.0, 2.0, 3.0]})
    assert np.isnan(run(registry, flat(fit=fitting(decay(), [1, 1], "depth")), cube=infinite).values).all()


def test_the_array_of_a_graph(registry: ProcessRegistry) -> None:
    made = node("array_create_labeled", data=[1, 3, 5, 7], labels=[0, 1, 2, 3])
    line = callback(a=parameter_at(1), ax=node("multiply", x=of("a"), y=param("x")), b=parameter_at(0),
                    y=node("add", x=of("ax"), y=of("b")))  # fmt: skip
    fit = node("fit_curve", data=of("made"), parameters=[0, 0], function=line)
    np.testing.assert_allclose(run(registry, flat(made=made, fit=fit)), [1, 2])
    dates = node("array_create_labeled", data=[1, 3], labels=["1970-01-01", "1970-01-02"])
    np.testing.assert_allclose(run(registry, flat(made=dates, fit=fit)), [1, 2 / 86400])


def test_a_fit_can_be_sent_to_workers(registry: ProcessRegistry) -> None:
    fitted = lazily(registry, flat(fit=fitting(season(), [1, 1, 1])), cube=dated(CHUNKS[1]))
    copy = cloudpickle.loads(cloudpickle.dumps(fitted))
    assert len(cloudpickle.dumps(fitted.isel(x=[0], y=[0]))) < 1_000_000
    np.testing.assert_array_equal(copy.values, fitted.values)


@pytest.mark.parametrize("chunks", CHUNKS, ids=["numpy", "small", "bands"])
def test_predictions_are_the_functions_values(registry: ProcessRegistry, chunks: Any) -> None:
    cube = dated(chunks)
    labels = ["2021-03-01", "2022-06-15T12:00:00Z", "2030-01-01"]
    predict = node("predict_curve", parameters=of("fit"), function=season(), dimension="t", labels=labels)
    graph = flat(fit=fitting(season(), [1, 1, 1]), predict=predict)
    predicted = lazily(registry, graph, cube=cube)
    fitted = lazily(registry, flat(fit=fitting(season(), [1, 1, 1])), cube=cube)
    assert predicted.dims == cube.dims
    assert isinstance(predicted.data, da.Array) == (chunks is not None)
    dates = np.array(["2021-03-01", "2022-06-15T12:00", "2030-01-01"], "datetime64[ns]")
    np.testing.assert_array_equal(predicted["t"].values, dates)
    phase = 2 * np.pi * seconds(dates) / YEAR
    waves = np.stack([np.ones(3), np.cos(phase), np.sin(phase)], axis=1)
    np.testing.assert_allclose(predicted.values, np.tensordot(waves, fitted.values, 1), rtol=1e-9)


def test_predictions_for_numbers(registry: ProcessRegistry) -> None:
    parameters = xr.DataArray([[3.0, 5.0], [0.5, np.nan]], dims=("p", "x"), coords={"p": ["a", "b"], "x": [1.0, 2.0]})
    predict = node("predict_curve", parameters=param("cube"), function=decay(), dimension="p", labels=[0, 2])
    predicted = run(registry, flat(predict=predict), cube=parameters)
    assert predicted["p"].values.tolist() == [0, 2]
    np.testing.assert_allclose(predicted.values, [[3, np.nan], [3 * np.exp(-1), np.nan]])


@pytest.mark.parametrize(("change", "message"), [
    ({"parameters": []}, "at least 1|at least one"),
    ({"data": [1, 2]}, "has no labels"),
    ({"function": callback(one=node("array_apply", data=param("parameters"), process=callback(a=node("e"))))},
     "one value for each x"),
])  # fmt: skip
def test_what_cannot_be_fitted(registry: ProcessRegistry, change: dict[str, Any], message: str) -> None:
    made = node("array_create_labeled", data=[1, 3, 5], labels=[0, 1, 2])
    arguments = {"data": of("made"), "parameters": [1, 1], "function": decay(), **change}
    with pytest.raises(OpenEOError, match=message) as caught:
        run(registry, flat(made=made, fit=node("fit_curve", **arguments)))
    assert caught.value.code == "ProcessParameterInvalid"


def test_names_are_no_x(registry: ProcessRegistry) -> None:
    with pytest.raises(OpenEOError, match="must be numbers or dates, not a, b") as caught:
        run(registry, flat(fit=fitting(season(), [1, 1, 1], "bands")), cube=dated())
    assert caught.value.code == "ProcessParameterInvalid"


def test_a_model_does_not_see_the_pixels_around_it(registry: ProcessRegistry) -> None:
    seen = callback(max=node("max", data=param("data")), one=node("add", x=param("x"), y=of("max")))
    inner = callback(fit=node("fit_curve", data=param("data"), parameters=[1], function=seen))
    with pytest.raises(OpenEOError, match="depend on nothing but x and parameters"):
        run(registry, flat(fit=node("apply_dimension", data=param("cube"), dimension="t", process=inner)), cube=dated())


@pytest.mark.parametrize(("change", "code"), [
    ({"dimension": "z"}, "DimensionNotAvailable"),
    ({"labels": []}, "ProcessParameterInvalid"),
    ({"labels": [1, 1]}, "ProcessParameterInvalid"),
    ({"labels": ["a"]}, "ProcessParameterInvalid"),
])  # fmt: skip
def test_what_cannot_be_predicted(registry: ProcessRegistry, change: dict[str, Any], code: str) -> None:
    arguments = {"parameters": param("cube"), "function": season(), "dimension": "t", "labels": [1], **change}
    with pytest.raises(OpenEOError) as caught:
        run(registry, flat(predict=node("predict_curve", **arguments)), cube=dated())
    assert caught.value.code == code
