"""What the instrument makes of the light: each band's own pixel size, blur at edges, noise and calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processes.simulation.bands import S2_BAND_FACTS, S2_BANDS
from processes.simulation.fields import Field, spread_to_neighbours
from processes.simulation.spec import PIXEL_METRES, SceneSpec

# Share of a pixel's value that comes from each neighbour in a row or column: the point spread at 10 m and at 20 m.
_SPREAD = {10: 0.16, 20: 0.09, 60: 0.0}
# Noise of a value r: root of floor squared and (relative r) squared; signal-to-noise is some 100 to 170.
_NOISE_FLOOR, _NOISE_RELATIVE = 0.0011, 0.006
# Error of the atmospheric correction of a whole image: aerosol left over, mostly in the blue; and gain.
_HAZE = np.array([1.5, 1.0, 0.65, 0.42, 0.36, 0.3, 0.25, 0.22, 0.2, 0.16, 0.06, 0.03], np.float32)
_HAZE_SPREAD, _GAIN_SPREAD, _BAND_GAIN_SPREAD = 0.0045, 0.022, 0.007


def correction_error(rng: np.random.Generator, light: Field) -> Field:
    """Add to `light` (12, y, x), in place, what atmospheric correction gets wrong over a whole image."""
    gain = 1 + _GAIN_SPREAD * rng.standard_normal() + _BAND_GAIN_SPREAD * rng.standard_normal(len(S2_BANDS))
    haze = np.float32(_HAZE_SPREAD * (0.1 + rng.standard_normal())) * _HAZE
    light *= gain.astype(np.float32)[:, None, None]
    light += haze[:, None, None]
    return light


def measure(spec: SceneSpec, rng: np.random.Generator, light: Field) -> Field:
    """Return the measured reflectance (12, y, x): coarser bands repeat the value of their 20 m or 60 m pixel."""
    measured = np.empty_like(light)
    for gsd in (10, 20, 60):
        chosen = [index for index, band in enumerate(S2_BANDS) if S2_BAND_FACTS[band].gsd == gsd]
        values = spread_to_neighbours(block_mean(spec, light[chosen], gsd), _SPREAD[gsd])
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        values += noise * np.sqrt(np.float32(_NOISE_FLOOR**2) + (np.float32(_NOISE_RELATIVE) * values) ** 2)
        measured[chosen] = on_pixels(spec, values, gsd)
    return measured


def block_mean(spec: SceneSpec, values: Field, gsd: int) -> Field:
    """Return the mean of (..., y, x) over the pixels of a coarser grid, which starts at a multiple of its size."""
    if gsd == PIXEL_METRES:
        return values
    for axis, blocks in ((-2, _rows(spec, gsd)), (-1, _columns(spec, gsd))):
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        counts = np.diff(starts, append=blocks.size).astype(np.float32)
        sums = np.add.reduceat(values, starts, axis=axis)
        values = np.asarray(sums / (counts[:, None] if axis == -2 else counts), np.float32)
    return values


def on_pixels(spec: SceneSpec, values: Field, gsd: int) -> Field:
    """Repeat a coarser grid (..., y, x) on the scene's pixels: the opposite of `block_mean`."""
    if gsd == PIXEL_METRES:
        return values
    return values[..., _rows(spec, gsd), :][..., _columns(spec, gsd)]


def _rows(spec: SceneSpec, gsd: int) -> NDArray[np.intp]:
    """Return for each row the number of its block: blocks start at northings that are multiples of `gsd`."""
    top = np.ceil((spec.south + spec.height * PIXEL_METRES) / gsd) * gsd
    return _numbered((top - spec.y) // gsd)


def _columns(spec: SceneSpec, gsd: int) -> NDArray[np.intp]:
    return _numbered(spec.x // gsd)


def _numbered(blocks: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.asarray(blocks - blocks[0], np.intp)
