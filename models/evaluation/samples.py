"""Sites, and pixels and dates of them with their embeddings and the bands of the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_CLASS = -1

Table = NDArray[np.float32]
Numbers = NDArray[np.int64]


class TaskError(ValueError):
    """The sites do not hold what a question needs; the message says what is missing."""


@dataclass(frozen=True)
class Site:
    """A place with all that is known of it.

    Attributes
    ----------
    name : str
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing.
    times : mapping of modality to (t,) datetime64[ns]
    land_cover : (y, x) int
        Class of each pixel, -1 where it is not known.
    classes : mapping of int to str
        The classes' names.
    fields : (y, x) int
        Which field, stand or water a pixel belongs to, -1 where that is not known.
    days : (d,) datetime64[D], optional
    productivity : (d, y, x) float32, optional
        Gross primary production of each of the `days`, g C m-2 d-1.
    """

    name: str
    cubes: Mapping[str, Table]
    times: Mapping[str, NDArray[np.datetime64]]
    land_cover: Numbers
    classes: Mapping[int, str]
    fields: Numbers
    days: NDArray[np.datetime64] | None = None
    productivity: Table | None = None


@dataclass(frozen=True)
class Samples:
    """Pixels and dates of one site that have an embedding and no missing band, sorted by pixel, then date.

    Attributes
    ----------
    site : Site
    embedding : (n, size) float32
    bands : (n, channels of all modalities) float32
        Preprocessed values at the pixel: of the date, and of the other sensors' frames paired with it.
    row, column : (n,) int
    time : (n,) datetime64[ns]
    """

    site: Site
    embedding: Table
    bands: Table
    row: Numbers
    column: Numbers
    time: NDArray[np.datetime64]

    def __len__(self) -> int:
        """Return their number."""
        return len(self.row)

    @property
    def land_cover(self) -> Numbers:
        """Class of each sample, (n,)."""
        return np.asarray(self.site.land_cover[self.row, self.column])

    @property
    def field(self) -> Numbers:
        """Field of each sample, (n,)."""
        return np.asarray(self.site.fields[self.row, self.column])

    @property
    def pixel(self) -> Numbers:
        """A number for each sample's pixel, (n,)."""
        return np.asarray(self.row * self.site.land_cover.shape[1] + self.column)
