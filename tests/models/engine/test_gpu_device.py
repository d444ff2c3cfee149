"""The GPU path on a GPU, where there is one with Triton."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from models.embed import Embedder
from models.engine.dense.gpu import choose
from tests.models.engine.scenes import DAY, three_sensors, two_sensors

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU"),
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed"),
]


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("units", [True, False])
@pytest.mark.parametrize("attention", ["self", "frames"])
def test_kernels_prove_themselves(attention, units, rounded):
    model = three_sensors(attention).to("cuda")
    if units and not choose.ways(model.device, rounded)[0]:
        pytest.skip("matrix units are no gain here")
    assert list(choose._tried(model, rounded, units)) == ["s1", "s2", "heat"]


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("bf16", 0.1)])
def test_a_cube_in_several_tiles_has_the_reference_engines_numbers_each_time(precision, most):
    random, model = np.random.default_rng(4), two_sensors().to("cuda")
    cubes = {m: random.random((c, 14, 36, 31), np.float32) for m, c in (("s1", 2), ("s2", 10))}
    cubes["s2"][:, 3, 10:20, 5:15] = np.nan  # alike
    cubes["s2"][2:5, 6, 17:25, 12:20] = np.nan  # mixed
    cubes["s2"][:, 8] = np.nan  # empty
    times = dict.fromkeys(cubes, np.datetime64("2022-04-01", "ns") + np.arange(14) * 5 * DAY)
    expected = Embedder(model, "windows").embed(cubes, times, "cube")
    engine = Embedder(model, "dense", precision, compiled=True)
    ours, again = (engine.embed(cubes, times, "cube") for _ in range(2))
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    assert np.isfinite(ours).any()
    assert np.nanmax(np.abs(ours - expected)) < most
    np.testing.assert_array_equal(ours, again)
    engine.memory = 3 << 30
    np.testing.assert_allclose(engine.embed(cubes, times, "cube"), ours, rtol=0, atol=most)
