"""What a simulated scene is asked to be: place, size, dates, climate and the shares of the landscape."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processes.simulation.bands import S2_BANDS

PIXEL_METRES = 10.0


@dataclass(frozen=True)
class Climate:
    """The weather that a scene has on average.

    Parameters
    ----------
    mean_temperature : float
        Yearly mean of the air temperature, degrees C.
    temperature_range : float
        Warmest minus coldest month, degrees C.
    cloudiness : float
        Share of Sentinel-2 acquisitions that are mostly (> 50 %) cloudy, 0 to 1.
    rain_days : float
        Share of days with rain or snowfall, 0 to 1.
    daily_rain : float
        Mean amount of a rain day, mm.
    """

    mean_temperature: float = 10.5
    temperature_range: float = 21.0
    cloudiness: float = 0.5
    rain_days: float = 0.3
    daily_rain: float = 7.0

    def __post_init__(self) -> None:
        for name in ("cloudiness", "rain_days"):
            _check_between(name, getattr(self, name), 0.0, 1.0)


@dataclass(frozen=True)
class LandscapeShares:
    """How a scene's land is used.

    Parameters
    ----------
    forest : float
        Share of the scene under forest, 0 to 0.9.
    conifers : float
        Share of the forest that is coniferous, 0 to 1.
    village, river, lake, road : bool
        Whether the scene has one.
    crops : tuple of float
        Relative shares of winter cereal, maize, rapeseed and grassland among the fields.
    field_hectares : tuple of float
        Smallest and largest field, ha; a field above the largest is split, smaller ones may be, too.
    """

    forest: float = 0.24
    conifers: float = 0.45
    village: bool = True
    river: bool = True
    lake: bool = True
    road: bool = True
    crops: tuple[float, float, float, float] = (0.30, 0.27, 0.13, 0.30)
    field_hectares: tuple[float, float] = (1.0, 6.0)

    def __post_init__(self) -> None:
        _check_between("forest", self.forest, 0.0, 0.9)
        _check_between("conifers", self.conifers, 0.0, 1.0)
        if len(self.crops) != 4 or min(self.crops) < 0 or sum(self.crops) <= 0:
            raise ValueError(f"crops must be four shares that are not all zero, not {self.crops!r}")
        if not 0.2 <= self.field_hectares[0] <= self.field_hectares[1] / 2:
            raise ValueError(
                f"field_hectares is {self.field_hectares!r}; the smallest must be 0.2 or more, the largest twice that"
            )


@dataclass(frozen=True)
class SceneSpec:
    """One simulated scene.

    Parameters
    ----------
    seed : int
        Everything random follows from it. Scenes of one seed that differ only in `start` and `stop` within the same
        first year agree where they overlap.
    height, width : int
        Size in pixels of 10 m, at least 8.
    start, stop : numpy.datetime64
        First day and the day after the last.
    west, south : float
        Lower left corner in metres, in the CRS `epsg`.
    epsg : int
        A projected CRS in metres.
    latitude, longitude : float
        Degrees, for the sun and the seasons (south of the equator they are half a year later).
    climate : Climate
    landscape : LandscapeShares
    bands : tuple of str
        Sentinel-2 bands of the result, in that order.
    swath_edges : bool
        Whether one orbit of each mission sees only a part of the scene; without, every pass sees all of it.
    """

    seed: int = 0
    height: int = 256
    width: int = 256
    start: np.datetime64 = field(default_factory=lambda: np.datetime64("2022-01-01"))
    stop: np.datetime64 = field(default_factory=lambda: np.datetime64("2023-01-01"))
    west: float = 679_000.0
    south: float = 5_151_000.0
    epsg: int = 32632
    latitude: float = 46.5
    longitude: float = 11.3
    climate: Climate = field(default_factory=Climate)
    landscape: LandscapeShares = field(default_factory=LandscapeShares)
    bands: tuple[str, ...] = S2_BANDS
    swath_edges: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", np.datetime64(str(self.start), "D"))
        object.__setattr__(self, "stop", np.datetime64(str(self.stop), "D"))
        if min(self.height, self.width) < 8:
            raise ValueError(f"height x width is {self.height} x {self.width} pixels; give at least 8 x 8")
        if not self.start < self.stop:
            raise ValueError(f"start is {self.start}, stop {self.stop}; stop is the day after the last one")
        unknown = [band for band in self.bands if band not in S2_BANDS]
        if unknown or not self.bands:
            raise ValueError(f"bands holds {unknown}; choose from {', '.join(S2_BANDS)}")
        _check_between("latitude", self.latitude, -66.0, 66.0)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return (self.height, self.width)

    @property
    def x(self) -> NDArray[np.float64]:
        """Pixel centres, west to east, metres."""
        return self.west + PIXEL_METRES * (np.arange(self.width, dtype=np.float64) + 0.5)

    @property
    def y(self) -> NDArray[np.float64]:
        """Pixel centres, north to south, metres."""
        return self.south + PIXEL_METRES * (self.height - 0.5 - np.arange(self.height, dtype=np.float64))


def drawn_spec(
    seed: int, size: int, bands: tuple[str, ...] = S2_BANDS, cloudiness: tuple[float, float] = (0.1, 0.4)
) -> SceneSpec:
    """Return a landscape and a climate of Europe drawn by `seed`, for a year.

    Parameters
    ----------
    size : int
        Pixels on a side.
    cloudiness : tuple of float
        Between which that of the climate is drawn.
    """
    random = np.random.default_rng(seed)
    return SceneSpec(
        seed=seed,
        height=size,
        width=size,
        bands=bands,
        latitude=float(random.uniform(38, 56)),
        climate=Climate(mean_temperature=float(random.uniform(6, 15)), cloudiness=float(random.uniform(*cloudiness))),
        landscape=LandscapeShares(forest=float(random.uniform(0.1, 0.4)), field_hectares=(0.6, 3.0)),
    )


def _check_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must lie between {low} and {high}")
