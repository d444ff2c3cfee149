"""Bands: what one is, how names select them, and which type a cube of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.sources.extents import invalid

# What cubes know of their bands beyond the names: coordinates along them, and the value for a band that has none.
BAND_COORDINATES: Mapping[str, Any] = {"common_name": "", "center_wavelength": np.nan}


@dataclass(frozen=True)
class Band:
    """One band: how it is stored and what its values mean once decoded.

    `scaled` bands are stored as numbers that each item's scale and offset turn into physical values; integer bands
    that are not scaled hold classes and stay as they are. `minimum` and `maximum` are physical values.
    """

    name: str
    dtype: str
    scaled: bool = False
    nodata: float | None = None
    description: str = ""
    unit: str | None = None
    common_name: str | None = None
    center_wavelength: float | None = None
    full_width_half_max: float | None = None
    gsd: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    classes: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_class(self) -> bool:
        """Return whether the values are classes, which stay integers."""
        return not self.scaled and np.dtype(self.dtype).kind in "iub"

    def missing(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where decoded `values` of this band are no data."""
        if values.dtype.kind == "f" and not self.is_class:
            return np.asarray(np.isnan(values))
        if self.nodata is None:
            return np.zeros(values.shape, bool)
        return np.asarray(values == self.nodata)


def cube_dtype(bands: Sequence[Band]) -> np.dtype[Any]:
    """Return the type of a cube of `bands`: integer when all are classes, else float32."""
    if all(band.is_class for band in bands):
        return np.result_type(*(band.dtype for band in bands))
    return np.dtype("float32")


def select_bands(bands: Sequence[Band], names: Sequence[str] | None) -> tuple[Band, ...]:
    """Return the bands that `names` asks for, in that order, each once; all of them for None.

    A band's own name goes before a common name; a common name stands for all bands that share it.
    """
    if names is None:
        return tuple(bands)
    chosen: dict[str, Band] = {}
    for name in names:
        matches = [b for b in bands if b.name == name] or [b for b in bands if b.common_name == name]
        if not matches:
            raise invalid("bands", f"there is no band '{name}'; the collection has {describe_bands(bands)}.")
        chosen.update({band.name: band for band in matches})
    return tuple(chosen.values())


def band_coordinates(bands: Sequence[Band], collection: Sequence[Band]) -> dict[str, NDArray[Any]]:
    """Return `BAND_COORDINATES` of `bands`, those that any band of the `collection` has: {name: (bands,)}."""
    held = {name: empty for name, empty in BAND_COORDINATES.items() if any(getattr(b, name) for b in collection)}
    return {name: np.array([getattr(band, name) or empty for band in bands]) for name, empty in held.items()}


def describe_bands(bands: Sequence[Band]) -> str:
    """Return the bands' names, common names in brackets."""
    return ", ".join(f"{b.name} ({b.common_name})" if b.common_name else b.name for b in bands)
