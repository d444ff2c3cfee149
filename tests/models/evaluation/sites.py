"""Samples made up so that what can be told from them is known."""

from __future__ import annotations

import numpy as np

from models.evaluation import Samples, Site

DAYS = np.datetime64("2022-01-01", "ns") + 5 * np.timedelta64(1, "D") * np.arange(70)
FIELD = 4  # pixels on a field's side


def make_samples(seed: int, signal: str, side: int = 16, noise: float = 0.3) -> Samples:
    """Fields of two classes; the features named by `signal` show the class and the season, the others only noise."""
    random = np.random.default_rng(seed)
    y, x = np.indices((side, side))
    fields = (y // FIELD) * (side // FIELD) + x // FIELD
    land_cover = (fields % 2).astype(np.int64)
    row, column, t = (a.ravel() for a in np.meshgrid(range(side), range(side), range(len(DAYS)), indexing="ij"))
    season = np.sin(2 * np.pi * 5 * t / 365)
    shown = np.stack([land_cover[row, column], season, season * land_cover[row, column]], 1)
    values = {
        kind: (shown if kind == signal else 0) + random.normal(0, noise if kind == signal else 1, shown.shape)
        for kind in ("embedding", "bands")
    }
    days = np.arange(np.datetime64("2022-01-01"), np.datetime64("2022-12-01"))
    light = 3 + 2 * np.sin(2 * np.pi * (days - days[0]).astype(int) / 365)
    site = Site(
        name=f"site {seed}",
        cubes={},
        times={"s2": DAYS},
        land_cover=land_cover,
        classes={0: "meadow", 1: "maize"},
        fields=fields.astype(np.int64),
        days=days,
        productivity=np.broadcast_to(light[:, None, None], (len(days), side, side)).astype(np.float32),
    )
    features = {kind: v.astype(np.float32) for kind, v in values.items()}
    return Samples(site, features["embedding"], features["bands"], row, column, DAYS[t])
