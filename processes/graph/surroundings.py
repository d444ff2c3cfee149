"""What a process inside of a callback may know of the cube around it: names, labels and coordinates of its dimensions.

Values in callbacks have dimensions with names of their own, see `pixels`; most processes need no more. `run_udf` hands
its values to code that expects them as they are called in the cube.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import xarray as xr

# What becomes of the values: one for each (`each`), one for all along a dimension (`reduce`), some along it (`along`),
# or a cube of the size that it had (`window`).
Role = Literal["each", "reduce", "along", "window"]


@dataclass(frozen=True)
class Cube:
    """Names of the dimensions of an array that a callback gets, in order, and the coordinates along them."""

    dims: tuple[str, ...]
    coords: Mapping[str, xr.Variable]
    crs: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """Where a callback is evaluated.

    Parameters
    ----------
    role : str
    dims : mapping
        From the names that dimensions have in the callback to those that they have in the cube.
    coords : mapping
        Coordinates by name, along dimensions as they are called in the cube.
    crs : str, optional
        The cube's reference system, as WKT.
    is_direct : bool
        Whether the value of the callback is that of its only `run_udf`.
    labels : dict
        Filled by a process that knows the labels of what the callback returns: dimension to labels.
    """

    role: Role
    dims: Mapping[Any, str] = field(default_factory=dict)
    coords: Mapping[str, xr.Variable] = field(default_factory=dict)
    crs: str | None = None
    is_direct: bool = False
    labels: dict[str, Any] = field(default_factory=dict)

    def within(self, outer: Surroundings | None) -> Surroundings:
        """Return the same with what is known of the callbacks around."""
        if outer is None:
            return self
        dims, coords = {**outer.dims, **self.dims}, {**outer.coords, **self.coords}
        return replace(self, dims=dims, coords=coords, crs=self.crs or outer.crs)


def cube_of(dims: Sequence[Any], coords: Mapping[Any, Any]) -> Cube:
    """Return names and coordinates: those of `coords` that lie along `dims` alone."""
    names = tuple(map(str, dims))
    known = {str(name): getattr(coord, "variable", coord) for name, coord in coords.items()}
    reference = known.get("spatial_ref")
    crs = None if reference is None else reference.attrs.get("crs_wkt")
    along = {name: coord for name, coord in known.items() if coord.dims and {*coord.dims} <= {*names}}
    return Cube(names, along, crs)
