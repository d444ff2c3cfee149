"""The cubes that are embedded: fields that change slowly, and clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import EDGE
from models.network import TwoStageModel

DAY = np.timedelta64(1, "D")
PIXEL = 10  # metres
SERIES = {"one date": 11, "5 of 15 dates": 15, "35 of 45 dates": 45}

Cubes = dict[str, NDArray[np.float32]]
Times = dict[str, NDArray[np.datetime64]]


@dataclass(frozen=True)
class Case:
    """A series and how cloudy it is; `blobs` in metres, 0 for a clear sky."""

    series: str
    blobs: int = 0

    @property
    def name(self) -> str:
        """As the table says it."""
        return f"{self.series}, {f'50 % cloud in {self.blobs} m blobs' if self.blobs else 'clear'}"


CASES = (
    *(Case(series) for series in SERIES),
    Case("5 of 15 dates", 80),
    Case("5 of 15 dates", 400),
)


def make_case(case: Case, model: TwoStageModel, size: int, seed: int = 0) -> tuple[Cubes, Times]:
    """Cubes of fields of `size` embedded pixels a side, sensors paired: the frame rule ``cube``."""
    random = np.random.default_rng(seed)
    dates, side = SERIES[case.series], size + 2 * EDGE
    time_axis = np.datetime64("2022-01-01", "ns") + np.arange(dates) * 5 * DAY
    cubes = {m.id: fields(random, len(m.bands), dates, side) for m in model.card.modalities}
    if case.blobs:
        reference = cubes[model.card.reference]
        for t in range(dates):
            reference[:, t, blobs(random, side, case.blobs / PIXEL)] = np.nan
    return cubes, dict.fromkeys(cubes, time_axis)


def fields(random: np.random.Generator, channels: int, dates: int, side: int, width: int = 6) -> NDArray[np.float32]:
    """Values in [0, 1] of fields of `width` pixels that change slowly, with noise: (channels, dates, side, side)."""
    n = -(-side // width)
    field = np.kron(random.beta(2, 6, (channels, 1, n, n)), np.ones((width, width)))[..., :side, :side]
    season = 1 + 0.3 * np.sin(np.arange(dates) / 9 + random.uniform(0, 6, (channels, 1)))[..., None, None]
    noise = random.normal(0, 0.01, (channels, dates, side, side))
    return np.clip(field * season + noise, 0, 1).astype(np.float32)


def blobs(random: np.random.Generator, side: int, width: float) -> NDArray[np.bool_]:
    """Half of an area, in blobs of about that width in pixels; the area is a part of a larger one."""
    from scipy.ndimage import gaussian_filter

    around = int(4 * width) + side
    field = gaussian_filter(random.standard_normal((around, around)), width / 2, mode="wrap")
    begin = int(random.integers(0, around - side + 1))
    cloudy: NDArray[np.bool_] = (field > np.median(field))[begin : begin + side, begin : begin + side]
    return cloudy
