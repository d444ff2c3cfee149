"""Values of vector cubes as columns of a table, one for each combination of labels, and back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.vectors.cubes import GEOMETRY, crs_of, make_cube

SEPARATOR = "~"
# What the column is called of a cube without further dimensions.
VALUE = "value"


def column_names(labels: Sequence[Sequence[Any]]) -> list[str]:
    """Return the columns' names for the labels of all dimensions but that of geometries, the last changing fastest."""
    if not labels:
        return [VALUE]
    return [SEPARATOR.join(map(str, one)) for one in itertools.product(*labels)]


def label_texts(cube: xr.DataArray, dimension: str) -> list[str]:
    """Return labels as text: dates as RFC 3339 has them, mere dates at midnight."""
    labels = cube[dimension].to_numpy()
    if labels.dtype.kind != "M":
        return [str(label) for label in labels.tolist()]
    whole = bool((labels == labels.astype("datetime64[s]")).all())
    texts = np.datetime_as_string(labels, unit="s" if whole else "ns").tolist()
    return [text.removesuffix("T00:00:00") for text in texts]


def columns_of(cube: xr.DataArray, dimension: str) -> dict[str, NDArray[Any]]:
    """Return the values of a computed vector cube as columns (n,); nothing of a cube that is all no-data."""
    others = [str(name) for name in cube.dims if name != dimension]
    values = cube.transpose(dimension, *others).to_numpy()
    if not others and values.dtype.kind == "f" and np.isnan(values).all():
        return {}
    names = column_names([label_texts(cube, name) for name in others])
    return dict(zip(names, values.reshape(len(values), -1).T, strict=True))


def with_values(cube: xr.DataArray, others: Mapping[str, Any], dtype: str) -> xr.DataArray:
    """Return a cube of geometries with those of its properties as values that `column_names` tells.

    Parameters
    ----------
    cube : vector cube (n,)
        As a table was read.
    others : mapping of str to labels
        The dimensions that the values had beside that of geometries, in their order.
    dtype : str
        The type of the values.

    Returns
    -------
    xr.DataArray
        The same cube where the table has not all of these columns.
    """
    bare = [xr.DataArray(np.empty(len(labels)), dims=name, coords={name: labels}) for name, labels in others.items()]
    names = column_names([label_texts(one, str(one.dims[0])) for one in bare])
    if any(name not in cube.coords for name in names):
        return cube
    stacked = np.stack([cube[name].to_numpy() for name in names], axis=1)
    values = stacked.astype(dtype).reshape(cube.sizes[GEOMETRY], *(len(labels) for labels in others.values()))
    properties = {
        str(name): held.to_numpy().tolist()
        for name, held in cube.coords.items()
        if held.dims == (GEOMETRY,) and name not in (GEOMETRY, *names)
    }
    return make_cube(cube[GEOMETRY].to_numpy(), crs_of(cube, GEOMETRY), properties, values, others)
