"""Random numbers and random fields: every part of the simulation draws from its own named stream."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]


def stream(seed: int, name: str, *key: int) -> np.random.Generator:
    """Return the generator of one stream: the same for the same arguments, independent for others.

    Parameters
    ----------
    seed : int
        The scene's seed.
    name : str
        What the numbers are for.
    *key : int
        Further key such as the day of an acquisition; negative days are welcome.
    """
    words = [zlib.crc32(name.encode()), *(value % 2**32 for value in key)]
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=tuple(words))))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Field:
    """Return Gaussian noise with standard deviation 1 and a Gaussian correlation of `sigma` pixels.

    For a sigma of more than 4 pixels it is made on a coarser grid and interpolated: the cost stays the same.
    """
    step = max(1, int(sigma // 4))
    coarse = tuple(-(-size // step) + 3 for size in shape)
    noise = rng.standard_normal(coarse, dtype=np.float32)
    local = sigma / step
    # White noise filtered with a Gaussian keeps 1 / (4 pi sigma^2) of its variance.
    noise = ndimage.gaussian_filter(noise, local, mode="wrap") * np.float32(2 * np.sqrt(np.pi) * local)
    return resample(noise, shape, (1.0, 1.0), step)


def resample(values: Field, shape: tuple[int, int], origin: tuple[float, float], step: float) -> Field:
    """Sample `values` bilinearly on `shape` pixels of 1/`step` its size, the first at index `origin` of it."""
    if step == 1 and origin == (int(origin[0]), int(origin[1])):
        y, x = int(origin[0]), int(origin[1])
        return values[y : y + shape[0], x : x + shape[1]]
    scale = [1 / step, 1 / step]
    return np.asarray(
        ndimage.affine_transform(values, scale, origin, shape, np.float32, order=1, mode="nearest"), np.float32
    )


def fractal_noise(rng: np.random.Generator, size: int, slope: float, largest: float) -> Field:
    """Return a periodic `size` x `size` field, mean 0 and deviation 1, with a power spectrum ``k ** -slope``.

    Parameters
    ----------
    slope : float
        8/3 is the spectrum of cloud water (5/3 along a line); larger is smoother.
    largest : float
        Scale in pixels beyond which the spectrum is flat.
    """
    ky = np.fft.fftfreq(size)[:, None]
    kx = np.fft.rfftfreq(size)[None, :]
    amplitude = ((ky**2 + kx**2 + largest**-2.0) ** (-slope / 4)).astype(np.float32)
    amplitude[0, 0] = 0
    white = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    values = fft.irfft2(white * amplitude, s=(size, size))
    return np.asarray(values / values.std(), np.float32)


def spread_to_neighbours(values: Field, share: float) -> Field:
    """Give `share` of each value to each neighbour, first along y, then along x; the rim keeps its own.

    `values` is (..., y, x); what comes back may be the same array.
    """
    if share == 0:
        return values
    for axis in (-2, -1):
        width = [(0, 0)] * values.ndim
        width[axis] = (1, 1)
        padded = np.pad(values, width, mode="edge")
        before, after = [slice(None)] * values.ndim, [slice(None)] * values.ndim
        before[axis], after[axis] = slice(0, -2), slice(2, None)
        sides = padded[tuple(before)] + padded[tuple(after)]
        values = np.float32(1 - 2 * share) * values + np.float32(share) * sides
    return values
