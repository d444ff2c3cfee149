"""Weights, windows and cubes that a seed determines on every machine: NumPy's PCG64, nothing of torch's."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from models.card import ModelCard, published_modalities
from models.network import TwoStageModel


def seeded_model(attention: Literal["frames", "self"] = "frames", seed: int = 7) -> TwoStageModel:
    """Return a model of the published sizes whose weights come from `seed`."""
    model = TwoStageModel(ModelCard("seeded", published_modalities(), "s2", attention))
    random = np.random.default_rng(seed)
    for name, parameter in sorted(model.named_parameters()):
        parameter.data = torch.from_numpy(_values(random, name, tuple(parameter.shape)))
    return model.eval().requires_grad_(False)


def with_attention(model: TwoStageModel, attention: Literal["frames", "self"]) -> TwoStageModel:
    """Return a model of the same weights that attends differently."""
    other = TwoStageModel(replace(model.card, attention=attention))
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)


def _values(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if "norm" in name:
        return (random.normal(0, 0.1, shape) + name.endswith("weight")).astype(np.float32)
    if len(shape) == 1:
        return random.normal(0, 0.1, shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:])) if "table" not in name and "types" not in name else 1
    return (random.normal(0, 1, shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def seeded_windows(n: int = 4, seed: int = 11) -> dict[str, np.ndarray]:
    """Return windows without missing values, their gaps and deltas."""
    random = np.random.default_rng(seed)
    return {
        "s1": random.uniform(0, 1, (n, 11, 2, 15, 15)).astype(np.float32),
        "s2": random.beta(2, 6, (n, 11, 10, 15, 15)).astype(np.float32),
        "gaps_s1": random.integers(0, 14, (n, 10)),
        "gaps_s2": random.integers(1, 30, (n, 10)),
        "delta": random.integers(0, 12, n),
    }


def seeded_cube(
    dates: int = 14, s1_dates: int = 22, size: tuple[int, int] = (17, 25), seed: int = 5
) -> dict[str, np.ndarray]:
    """Return preprocessed cubes on their own dates, with clouds, a swath edge and clock times.

    The dates of Sentinel-1 begin before and end after those of Sentinel-2.
    """
    random = np.random.default_rng(seed)
    time = np.datetime64("2022-03-01T10:20", "ns") + np.cumsum(random.integers(2, 9, dates)) * np.timedelta64(1, "D")
    s1_time = np.datetime64("2022-02-20T05:30", "ns") + np.arange(s1_dates) * 5 * np.timedelta64(1, "D")
    s2 = random.beta(2, 6, (10, dates, *size)).astype(np.float32)
    s1 = random.uniform(0, 1, (2, s1_dates, *size)).astype(np.float32)
    for date in range(1, dates, 3):  # clouds: rectangles, the same in all bands
        y, x = random.integers(0, size[0] - 4), random.integers(0, size[1] - 4)
        s2[:, date, y : y + random.integers(3, 9), x : x + random.integers(3, 9)] = np.nan
    s2[3, 2, 5:9, 5:9] = np.nan  # one band alone
    s2[:, 7] = np.nan  # a date without any sight
    s2[:, 5, :, :20] = np.nan  # wide clouds and a swath edge: whole patches see nothing
    s1[:, 8, :, :19] = np.nan
    s1[1, 11, 4:8] = np.nan
    return {"s2": s2, "s1": s1, "time": time, "s1_time": s1_time}
