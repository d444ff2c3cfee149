"""Curves fitted to the values of each pixel, and predicted from what was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import xarray as xr
from dask._task_spec import convert_legacy_graph
from dask.core import flatten
from dask.order import order
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.graph import Callback
from processes.graph.pixels import PerPixel, aligned, fresh_dim, single
from processes.overrides._axes import along_axis, on_axis, plain_list
from processes.overrides._dims import labels_of, rebuild, require_cube, require_dimension
from processes.sources import parse_instant

# The step of differences that MINPACK takes itself: the root of what float64 resolves.
_STEP = float(np.sqrt(np.finfo(float).eps))
# MINPACK's ways to say that it has found a minimum.
_FOUND = (1, 2, 3, 4)
_CHUNK = 8


def fit_curve(
    data: Any,
    parameters: Sequence[float],
    function: Callback,
    ignore_nodata: bool = True,
    axis: int | None = None,
    dim_labels: Any = None,
) -> Any:
    """Fit ``y = function(x, parameters)`` to each array by non-linear least squares (Levenberg-Marquardt, MINPACK).

    The labels are x, dates as seconds since 1970, and the values are y; the specification has the two the other way
    round, but speaks of predicting "values for new labels".

    Parameters
    ----------
    data : labelled array
    parameters : list of number
        The first guess; as many as the function has.
    function : Callback
        Of ``x`` and ``parameters``.
    ignore_nodata : bool
        Leave out no-data values; else an array with one has no-data for all parameters.

    Returns
    -------
    array
        The parameters, float64. No data where fewer values than parameters are valid or no minimum is found.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid.
    """
    guess = _guess(parameters)
    if plain_list(data) is not None:
        raise invalid("data", "fit_curve", "the array has no labels; make some with array_create_labeled")
    values, at, labels = on_axis(data, axis, dim_labels)
    if labels is None:
        raise invalid("data", "fit_curve", "the array has lost its labels, which a curve is fitted along")
    fit = _Fit(
        _traced(function, len(guess), len(labels)), _numbers(labels, "data", "fit_curve"), guess, ignore_nodata, at
    )
    return along_axis(fit, values, at, len(guess), np.float64)


def predict_curve(parameters: xr.DataArray, function: Callback, dimension: str, labels: Sequence[Any]) -> xr.DataArray:
    """Compute the function's values for labels, for each pixel's parameters.

    Parameters
    ----------
    parameters : xr.DataArray
        A cube with the parameters along `dimension`, such as ``apply_dimension`` with ``fit_curve`` gives.
    function : Callback
        Of ``x`` and ``parameters``.
    dimension : str
        Where the parameters were, the predictions will be.
    labels : list of number or date
        What to predict for; dates are passed to the function as seconds since 1970.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(parameters, "predict_curve", "parameters")
    dimension = require_dimension(cube, dimension, "predict_curve")
    names = _new_labels(labels)
    numbers, along = _numbers(names, "labels", "predict_curve"), fresh_dim()
    lazy = isinstance(cube.data, da.Array)
    x = xr.Variable((along,), da.from_array(numbers, chunks=_CHUNK) if lazy else numbers)
    given = PerPixel(cube.variable, dimension, labels_of(cube, dimension))
    sizes = {along if dim == dimension else dim: size for dim, size in cube.sizes.items()}
    sizes[along] = len(numbers)
    result = single(function.call(x=PerPixel(x), parameters=given))
    if result.dim is not None or set(result.variable.dims) - set(sizes):
        raise invalid("function", "predict_curve", "it must return one value for each x")
    values = aligned(result.variable, sizes).data
    return rebuild(cube, da.asarray(values) if lazy else values, map(str, cube.dims), {dimension: names})


@dataclass(frozen=True, eq=False)
class _Model:
    """A function of x and parameters without the graph that it comes from, so that Dask's workers can call it.

    Parameters
    ----------
    steps : tuple of (key, task)
        In an order in which they can run.
    x, parameters, result : hashable
        The keys of the arguments, (n,) and (sets, parameters), and of the result, (sets, n).
    """

    steps: tuple[tuple[Any, Any], ...]
    x: Any
    parameters: Any
    result: Any

    def __call__(self, x: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the function's values, (sets, n), for sets of parameters."""
        values = {self.x: x, self.parameters: parameters}
        for key, task in self.steps:
            values[key] = task(values)
        return np.asarray(values[self.result], np.float64)


def _traced(function: Callback, count: int, length: int) -> _Model:
    """Return what the function does, recorded with lazy arguments: the tasks between them and its result."""
    x, sets = (f"{name}-{uuid4().hex}" for name in ("x", "parameters"))
    lazy_x = da.from_array(np.zeros(length), chunks=-1, name=x)
    lazy_sets = da.from_array(np.zeros((count + 1, count)), chunks=-1, name=sets)
    along, which, place = fresh_dim(), fresh_dim(), fresh_dim()
    result = single(
        function.call(
            x=PerPixel(xr.Variable((along,), lazy_x)),
            parameters=PerPixel(xr.Variable((which, place), lazy_sets), place),
        )
    )
    if result.dim is not None or set(result.variable.dims) - {along, which}:
        reason = "it must return one value for each x, and depend on nothing but x and parameters"
        raise invalid("function", "fit_curve", reason)
    values = da.asarray(aligned(result.variable, {which: count + 1, along: length}).data).rechunk(-1)
    graph = convert_legacy_graph(dict(values.__dask_graph__()))
    key, given = next(flatten(values.__dask_keys__())), {(x, 0), (sets, 0, 0)}
    ranks = order(graph)
    steps = tuple((k, graph[k]) for k in sorted(graph, key=lambda k: ranks[k]) if k not in given)
    return _Model(steps, (x, 0), (sets, 0, 0), key)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fits a model to all arrays of a block along `axis`, one after the other."""

    model: _Model
    x: NDArray[np.float64]
    guess: NDArray[np.float64]
    ignore_nodata: bool
    axis: int

    def __dask_tokenize__(self) -> str:
        # Dask would look for the tasks of the model, and find that they are new each time anyway.
        return uuid4().hex

    def __call__(self, block: NDArray[Any]) -> NDArray[np.float64]:
        """Return the parameters in place of the values."""
        arrays = np.moveaxis(np.asarray(block, np.float64), self.axis, -1)
        found = [self._one(array) for array in arrays.reshape(-1, len(self.x))]
        shape = (*arrays.shape[:-1], len(self.guess))
        return np.moveaxis(np.asarray(found, np.float64).reshape(shape), -1, self.axis)

    def _one(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the parameters for one array, NaN where there are none."""
        from scipy.optimize import leastsq  # takes a while, and most requests fit nothing

        nothing = np.full(len(self.guess), np.nan)
        valid = ~np.isnan(y)
        if valid.sum() < len(self.guess) or not (self.ignore_nodata or valid.all()):
            return nothing
        with np.errstate(all="ignore"):
            found, _, told, _, status = leastsq(
                lambda p: (self._values(p)[0] - y)[valid],
                self.guess,
                Dfun=lambda p: self._slopes(p)[valid],
                full_output=True,
            )
        return found if status in _FOUND and np.isfinite([*found, *told["fvec"]]).all() else nothing

    def _values(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the model's values for the parameters, and for each of them a step further, (1 + parameters, n)."""
        return self.model(self.x, np.vstack([parameters, parameters + np.diag(_steps(parameters))]))

    def _slopes(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Jacobian by differences, (n, parameters)."""
        values = self._values(parameters)
        slopes: NDArray[np.float64] = (values[1:] - values[0]) / _steps(parameters)[:, None]
        return slopes.T


def _steps(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(parameters == 0, _STEP, _STEP * np.abs(parameters))


def _guess(parameters: Any) -> NDArray[np.float64]:
    numbers = isinstance(parameters, list | tuple) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and np.isfinite(one) for one in parameters
    )
    if not numbers or not parameters:
        raise invalid("parameters", "fit_curve", "it must be an array of at least one number, the same for all pixels")
    return np.asarray(parameters, np.float64)


def _new_labels(labels: Sequence[Any]) -> NDArray[Any]:
    """Return numbers as they are and dates as such."""
    if not labels or len(set(labels)) != len(labels):
        raise invalid("labels", "predict_curve", "it must hold at least one label, and each only once")
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in labels):
        return np.asarray(labels)
    return np.array([parse_instant(one, "labels", "predict_curve") for one in labels], "datetime64[ns]")


def _numbers(labels: NDArray[Any], parameter: str, process: str) -> NDArray[np.float64]:
    """Return labels as x: numbers as they are, dates as seconds since 1970."""
    if labels.dtype.kind in "iuf":
        return labels.astype(np.float64)
    try:
        dates = (
            labels if labels.dtype.kind == "M" else [parse_instant(one, parameter, process) for one in labels.tolist()]
        )
    except OpenEOError as error:
        some = ", ".join(map(str, labels[:3]))
        raise invalid(parameter, process, f"the labels must be numbers or dates, not {some}, ...") from error
    seconds = (np.asarray(dates, "datetime64[ns]") - np.datetime64(0, "ns")) / np.timedelta64(1, "s")
    return np.asarray(seconds, np.float64)
