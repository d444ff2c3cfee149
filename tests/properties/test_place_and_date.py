"""An embedding depends on place and date alone: less data, other tiles and chunks may lose it, never change it."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from models.store import save_model
from tests.examples import examples
from tests.golden.seeded import seeded_model
from udf import ModelShelf, SensorCube, embed_lazily

TOLERANCE = 5e-6
DATES, S1_DATES, HEIGHT, WIDTH = 13, 26, 16, 17


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    network = seeded_model()
    save_model(folder / "seeded", network.card, network.state_dict(), torch.float32)
    return ModelShelf((folder,), "seeded").get(None)


def scene(seed: int) -> dict[str, np.ndarray]:
    """Reflectance and power with clouds, lost dates and a swath edge, on dates of their own."""
    random = np.random.default_rng(seed)
    day = np.timedelta64(1, "D")
    time = np.datetime64("2022-04-01T10:20", "ns") + np.cumsum(random.integers(2, 9, DATES)) * day
    s1_time = time[0] - np.timedelta64(17, "D") + np.cumsum(random.integers(2, 6, S1_DATES)) * day
    s2 = random.beta(2, 6, (10, DATES, HEIGHT, WIDTH)).astype(np.float32)
    s1 = random.gamma(2, 0.05, (2, S1_DATES, HEIGHT, WIDTH)).astype(np.float32)
    for date in random.choice(DATES, 2, replace=False):
        y, x = random.integers(0, HEIGHT - 3), random.integers(0, WIDTH - 3)
        s2[:, date, y : y + 4, x : x + 4] = np.nan
    s2[:, random.integers(0, DATES)] = np.nan
    s1[:, random.integers(0, S1_DATES), :, : random.integers(1, WIDTH)] = np.nan
    return {"s2": s2, "s1": s1, "time": time, "s1_time": s1_time}


def embed(model, raw, dates, s1_dates, rows, columns, tile, chunk) -> np.ndarray:
    cubes = {
        "s1": SensorCube(da.from_array(raw["s1"][:, s1_dates, rows, columns], chunks=chunk), raw["s1_time"][s1_dates]),
        "s2": SensorCube(da.from_array(raw["s2"][:, dates, rows, columns], chunks=chunk), raw["time"][dates]),
    }
    n, height, width = cubes["s2"].values.shape[1:]
    lazy = embed_lazily(model, cubes, np.ones(n, bool), slice(0, height), slice(0, width), tile)
    return np.asarray(lazy.compute(scheduler="sync"))


@given(seed=st.integers(0, 2**32 - 1), tile=st.integers(3, 20), chunk=st.integers(3, 30), data=st.data())
@settings(
    max_examples=examples(4),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_less_data_and_other_tiles_change_no_number(model, seed, tile, chunk, data):
    raw = scene(seed)
    everything = slice(None)
    whole = embed(model, raw, everything, everything, everything, everything, 64, -1)
    dates = slice(data.draw(st.integers(0, 1)), data.draw(st.sampled_from([None, -1])))
    s1_dates = slice(data.draw(st.integers(0, 2)), data.draw(st.sampled_from([None, -3])))
    rows, columns = slice(data.draw(st.integers(0, 1)), None), slice(0, data.draw(st.integers(15, WIDTH)))
    part = embed(model, raw, dates, s1_dates, rows, columns, tile, chunk)
    same_place = whole[:, dates, rows, columns]
    known = np.isfinite(part)
    np.testing.assert_allclose(part[known], same_place[known], rtol=0, atol=TOLERANCE)
    if dates == slice(0, None) and s1_dates == slice(0, None):  # all dates: nothing is lost within the halo
        np.testing.assert_array_equal(known[:, :, 7:-7, 7:-7], np.isfinite(same_place)[:, :, 7:-7, 7:-7])


def test_such_scenes_have_embeddings(model):
    """Against a property that holds because nothing is ever embedded."""
    everything = slice(None)
    found = [
        np.isfinite(embed(model, scene(seed), everything, everything, everything, everything, 64, -1)).any()
        for seed in range(3)
    ]
    assert any(found)
