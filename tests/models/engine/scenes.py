"""Random cubes that are hard on engines: every way in which values can be missing, odd dates, repeated frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st

from models.card import Modality, ModelCard, published_modalities
from models.network import TwoStageModel
from tests.golden.seeded import seeded_model

MASKS = ("none", "blobs", "bands apart", "frames", "halves", "cube")
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, repr=False)
class Scene:
    """Cubes by modality (channels, t, y, x), their times, the rule that suits them, and the model's attention."""

    cubes: dict[str, np.ndarray]
    times: dict[str, np.ndarray]
    rule: str


@st.composite
def scenes(draw, modalities: tuple[Modality, ...] = published_modalities(), largest: int = 19) -> Scene:
    """Draw a scene from 15 x 15 pixels and 11 frames on."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rule = draw(st.sampled_from(["local", "cube"]))
    dates = draw(st.integers(11, 14))
    size = (draw(st.integers(15, largest)), draw(st.integers(15, largest)))
    step = draw(st.sampled_from([4, 9, 25]))
    time = np.datetime64("2022-03-01T10:20", "ns") + np.cumsum(random.integers(1, 2 * step, dates)) * DAY
    cubes, times = {}, {}
    for m in modalities:
        n = dates if m.id == "s2" or rule == "cube" else dates + 14
        times[m.id] = time if m.id == "s2" else _dates(random, time, n, rule)
        cube = random.random((len(m.bands), n, *size)).astype(np.float32)
        if rule == "cube" and m.id != "s2" and draw(st.booleans()):
            cube[:, 1::2] = cube[:, : 2 * (n // 2) : 2]  # an acquisition paired twice
        _hide(random, cube, draw(st.sampled_from(MASKS)))
        cubes[m.id] = cube
    return Scene(cubes, times, rule)


def three_sensors(attention: str = "frames") -> TwoStageModel:
    """A model of other sizes: three modalities, one of them of a single channel."""
    s1, s2 = published_modalities()
    heat = Modality("heat", ("LST",), "none", tokens=5, bottleneck=3)
    card = ModelCard("three", (s1, replace(s2, bands=s2.bands[:4], tokens=4), heat), "s2", attention)
    model = TwoStageModel(card)
    randomise(model)
    model.fusion.reduce.weight.data *= 0.3  # embeddings of about 1, as those of the other model
    return model.eval().requires_grad_(False)


def randomise(model: TwoStageModel) -> None:
    """Give a model of any sizes weights that keep numbers in bounds."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        spread = 0.1 if parameter.ndim == 1 else float(np.sqrt(2 / max(np.prod(parameter.shape[1:]), 1)))
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1


def two_sensors(attention: str = "frames") -> TwoStageModel:
    """The published sizes with seeded weights."""
    return seeded_model(attention)


def _dates(random, time, n, rule):
    if rule == "cube":
        return np.sort(time + random.integers(-3, 3, n) * DAY)
    start = time[0] - 30 * DAY
    return start + np.sort(random.integers(0, int((time[-1] - start) / DAY) + 30, n)) * DAY + np.timedelta64(5, "h")


def _hide(random, cube: np.ndarray, kind: str) -> None:
    channels, frames, height, width = cube.shape
    if kind == "cube":
        if channels != 10:  # without the reference nothing is embedded
            cube[:] = np.nan
    elif kind == "frames":
        cube[:, random.random(frames) < 0.2] = np.nan
    elif kind == "halves":
        for t in np.flatnonzero(random.random(frames) < 0.4):
            cube[:, t, :, : random.integers(1, width)] = np.nan
    elif kind != "none":
        for t in np.flatnonzero(random.random(frames) < 0.6):
            y, x, side = random.integers(0, height - 2), random.integers(0, width - 2), random.integers(1, 9)
            bands = slice(None) if kind == "blobs" else random.random(channels) < 0.5
            cube[bands, t, y : y + side, x : x + side] = np.nan
