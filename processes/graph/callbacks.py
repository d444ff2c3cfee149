"""A process graph passed as an argument: called by the implementation of the process that received it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from processes.graph.flat import FlatGraph
from processes.graph.pixels import PerPixel, aligned, fresh_dim, rename_dim, single
from processes.graph.surroundings import Cube, Role, Surroundings, cube_of

Run = Callable[[FlatGraph, Mapping[str, Any], Surroundings | None], Any]


class Callback:
    """A process graph with the parameters that surround it; evaluated anew at each call.

    Parameters
    ----------
    graph : FlatGraph
    names : sequence of str
        The parameters that its process declares for it, such as ``data`` and ``context``.
    scope : mapping
        The parameters of the graphs around it, which it sees unless its own have the same name.
    run : callable
        Evaluates a graph with parameters.
    """

    def __init__(self, graph: FlatGraph, names: Sequence[str], scope: Mapping[str, Any], run: Run) -> None:
        self.graph = graph
        self._scope = scope
        self._run = run
        self._dims: tuple[Any, ...] = ()
        self._cube: Cube | None = None
        self._keeps_size = False
        self.labels: dict[str, Any] = {}
        self.names = tuple(names)

    def among(self, dims: Sequence[Any]) -> Callback:
        """Return the callback as an implementation inside of another callback gets it.

        Plain arrays with as many axes as there are `dims` have these; so values of the callbacks around it, which this
        one sees, find their pixels.
        """
        inner = Callback(self.graph, self.names, self._scope, self._run)
        inner._dims = tuple(dims)
        return inner

    def within(self, dims: Sequence[Any], coords: Mapping[Any, Any], keeps_size: bool = False) -> Callback:
        """Return the callback for plain arrays whose axes are these dimensions of a cube, with these coordinates.

        `keeps_size`: what it returns must be of the size of what it gets. After a call, `labels` holds the labels of
        dimensions that a process in it has changed.
        """
        inner = Callback(self.graph, self.names, self._scope, self._run)
        inner._dims, inner._cube = self._dims, cube_of(dims, coords)
        inner._keeps_size = keeps_size or self._keeps_size
        return inner

    def __repr__(self) -> str:
        return f"Callback({self.graph!r})"

    def call(self, **parameters: Any) -> Any:
        """Return the value of the graph; cubes of values go in and come out as `PerPixel`."""
        scope: ChainMap[str, Any] = ChainMap(parameters, self._scope)  # type: ignore[arg-type]
        return self._run(self.graph, scope, None)

    def __call__(
        self,
        *values: Any,
        positional_parameters: Mapping[str, int] | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        axis: int | tuple[int, ...] | None = None,
        keepdims: bool = False,
        dim_labels: Any = None,
        context: Any = None,
        source_transposed_axis: int | None = None,
        **more: Any,
    ) -> Any:
        """Call the graph as openeo-processes-dask calls its reducers: with plain arrays and an axis.

        Parameters
        ----------
        *values
            The values of the first declared parameters, or of those that `positional_parameters` names.
        positional_parameters : mapping of str to int, optional
            Parameter name to position in `values`.
        named_parameters : mapping, optional
            Further parameters.
        axis : int or tuple of int, optional
            Where the arrays of `values` lie; without it each element is a value of its own.
        keepdims : bool
            Whether a reduced axis stays with length 1.
        dim_labels : array, optional
            The labels along `axis`.
        context
            The parameter of that name.
        source_transposed_axis : int, optional
            Not needed: dimensions have names here.

        Returns
        -------
        array, or a constant if no array went in
        """
        positions = positional_parameters or {name: i for i, name in enumerate(self.names[: len(values)])}
        main = {name: values[position] for name, position in positions.items()}
        given = {"context": context, **(named_parameters or {}), **more}
        arrays = [value for value in [*main.values(), *given.values()] if _is_array(value)]
        if not arrays:
            is_window = any(isinstance(value, xr.DataArray) for value in main.values())
            return self._within(Surroundings("window", is_direct=self._is_direct) if is_window else None, given, main)
        dims = self._names_for(arrays[0].ndim)
        wrapped = {name: _pixels(value, dims, None, None) for name, value in given.items()}
        wrapped.update({name: _pixels(value, dims, axis, dim_labels) for name, value in main.items()})
        around = self._surroundings(dims, "each" if axis is None else "along" if keepdims else "reduce")
        value = self._within(around, wrapped, {})
        self.labels = around.labels
        return _plain(value, dict(zip(dims, arrays[0].shape, strict=True)), axis, keepdims)

    def _within(self, around: Surroundings | None, *parameters: Mapping[str, Any]) -> Any:
        scope: ChainMap[str, Any] = ChainMap(*reversed(parameters), self._scope)  # type: ignore[arg-type]
        return self._run(self.graph, scope, around)

    def _surroundings(self, dims: Sequence[Any], role: Role) -> Surroundings:
        role = "each" if self._keeps_size else role
        if self._cube is None or len(self._cube.dims) != len(dims):
            return Surroundings(role, is_direct=self._is_direct)
        names = dict(zip(dims, self._cube.dims, strict=True))
        return Surroundings(role, names, self._cube.coords, self._cube.crs, self._is_direct)

    @property
    def _is_direct(self) -> bool:
        """Whether the callback's value is that of the one process of users' code in it."""
        codes = [key for key, node in self.graph.nodes.items() if node.process_id == "run_udf"]
        return codes == [self.graph.result]

    def _names_for(self, ndim: int) -> tuple[Any, ...]:
        """Return names for the axes of plain arrays; new ones unless the arrays come from a callback around this."""
        return self._dims if len(self._dims) == ndim else tuple(fresh_dim() for _ in range(ndim))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | da.Array) and value.ndim > 0


def _pixels(value: Any, dims: tuple[Any, ...], axis: int | tuple[int, ...] | None, labels: Any) -> Any:
    """Return an array with names for its dimensions; several axes become one, the last."""
    if not _is_array(value) or value.ndim != len(dims):
        return value
    variable = xr.Variable(dims, value)
    if axis is None:
        return PerPixel(variable)
    along = [dims[i] for i in np.atleast_1d(axis)]
    if len(along) == 1:
        return PerPixel(variable, along[0], None if labels is None else np.asarray(labels))
    joined = fresh_dim()
    stacked: xr.Variable = variable.stack({joined: along})
    return PerPixel(stacked, joined)


def _plain(result: Any, sizes: Mapping[Any, int], axis: int | tuple[int, ...] | None, keepdims: bool) -> Any:
    """Return a value of pixels as a plain array, with its dimensions where those of the arguments were."""
    if isinstance(result, list | np.ndarray | xr.DataArray):
        return result
    dims = list(sizes)
    full_sizes = dict(sizes)
    gone = [] if axis is None else [int(i) % len(dims) for i in np.atleast_1d(axis)]
    variable = single(result).variable
    if isinstance(result, PerPixel) and result.dim is not None and len(gone) == 1:
        along = dims[gone[0]]
        variable, gone = rename_dim(variable, result.dim, along), []
        full_sizes[along] = variable.sizes[along]
    wanted = {dim: full_sizes[dim] for i, dim in enumerate(dims) if i not in gone}
    full = aligned(variable, wanted)
    return np.expand_dims(full.data, tuple(gone)) if keepdims and gone else full.data
