"""The dense engine gives the window engine's numbers, whatever is missing and however the work is cut."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import models.embed as embed_module
from models.embed import Embedder
from models.engine.dense.native import build
from tests.examples import examples
from tests.models.engine.scenes import scenes, three_sensors, two_sensors

TOLERANCE = 5e-6
# The same scenes every time: whoever changes an engine sees whether it was the change.
QUICKLY = settings(max_examples=examples(6), deadline=None, phases=[Phase.generate], derandomize=True, database=None)
COMPILED = build.library() is not None

needs_compiler = pytest.mark.skipif(not COMPILED, reason="there is no C++ compiler: no compiled kernels")
engines = pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_compiler), False])
KERNELS = (True, False) if COMPILED else (False,)


def embed(model, scene, engine="dense", **options) -> np.ndarray:
    return Embedder(model, engine, **options).embed(scene.cubes, scene.times, scene.rule)


def assert_same(ours: np.ndarray, reference: np.ndarray) -> None:
    np.testing.assert_allclose(ours, reference, rtol=0, atol=TOLERANCE, equal_nan=True)


@QUICKLY
@given(
    scene=scenes(),
    attention=st.sampled_from(["frames", "self"]),
    engine=st.sampled_from(["auto", "dense"]),
    memory=st.sampled_from([1, None]),
)
def test_equals_the_window_engine(scene, attention, engine, memory):
    """With compiled kernels, where there are any, and without."""
    model = two_sensors(attention)
    reference = embed(model, scene, "windows")
    for compiled in KERNELS:
        assert_same(embed(model, scene, engine, memory=memory, compiled=compiled), reference)


@settings(QUICKLY, max_examples=examples(4))
@given(data=st.data())
def test_equals_it_for_whatever_sensors_a_card_declares(data):
    model = three_sensors()
    scene = data.draw(scenes(model.card.modalities, largest=16))
    reference = embed(model, scene, "windows")
    for compiled in KERNELS:
        assert_same(embed(model, scene, compiled=compiled), reference)


@needs_compiler
@settings(QUICKLY, max_examples=examples(3))
@given(scene=scenes())
def test_threads_change_nothing_beyond_rounding(scene):
    model = two_sensors()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(embed(model, scene, compiled=True))
    finally:
        torch.set_num_threads(before)
    # Not bit by bit: the few layers that are torch's sum in another order with more threads.
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@engines
def test_tiles_change_nothing_beyond_rounding(compiled):
    """On an area of several tiles, by clouds that cross them."""
    model, scene = two_sensors(), clouded(size=24)
    whole = embed(model, scene, compiled=compiled)
    assert np.isfinite(whole).sum() > 7 * 100
    assert_same(embed(model, scene, compiled=compiled, memory=1), whole)


@engines
def test_one_engine_on_cube_after_cube(compiled):
    """What one cube leaves in the reused memory does not reach the next."""
    model = two_sensors()
    first, second = clouded(size=18, seed=1), clouded(size=16, seed=2)
    engine = Embedder(model, "dense", compiled=compiled)
    expected = [Embedder(model, "dense", compiled=compiled).embed(s.cubes, s.times, s.rule) for s in (first, second)]
    for scene, out in ((first, expected[0]), (second, expected[1]), (first, expected[0])):
        assert_same(engine.embed(scene.cubes, scene.times, scene.rule), out)
    assert len(engine._dense._pool.take(0)) > 0
    engine._dense.forget()
    assert len(engine._dense._pool.take(0)) == 0
    assert_same(engine.embed(second.cubes, second.times, second.rule), expected[1])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_threads_take_turns(monkeypatch, device):
    """On a GPU one lists its windows while another computes, on a processor it waits; none computes beside another."""
    pair, model = [clouded(size=16, seed=s) for s in (1, 2)], two_sensors()
    engine = Embedder(model, "dense")
    expected = [engine.embed(s.cubes, s.times, s.rule) for s in pair]
    if device == "cuda":
        monkeypatch.setattr(engine, "_turns", lambda: (nullcontext(), engine._turn))
    run, lists, listed, inside, seen = engine._run, embed_module.list_windows, [], [], []
    both = threading.Event()

    def list_windows(*args):
        listed.append(threading.get_ident())
        if len(listed) == 2:
            both.set()
        return lists(*args)

    def computed(*args):
        inside.append(args)
        seen.append((len(inside), both.wait(20 if device == "cuda" else 0.5)))
        out = run(*args)
        inside.pop()
        return out

    monkeypatch.setattr(embed_module, "list_windows", list_windows)
    monkeypatch.setattr(engine, "_run", computed)
    with ThreadPoolExecutor(2) as pool:
        outs = list(pool.map(lambda s: engine.embed(s.cubes, s.times, s.rule), pair))
    for out, own in zip(outs, expected, strict=True):
        assert_same(out, own)
    assert len(set(listed)) == 2
    assert seen == [(1, device == "cuda"), (1, True)]


def test_scenes_have_embeddings_and_every_kind_of_patch():
    """Against properties that hold because nothing is embedded, or nothing is ever missing."""
    from models.embed import _check, list_windows
    from models.engine.dense.sensor import Scene

    model, found, states = two_sensors(), 0, set()

    @settings(max_examples=25, deadline=None, phases=[Phase.generate], database=None, derandomize=True)
    @given(scene=scenes())
    def look(scene):
        nonlocal found
        cubes, times = _check(model, scene.cubes, scene.times)
        windows = list_windows(model, cubes, times, scene.rule, np.ones(len(times["s2"]), bool))
        found += len(windows) > 0
        for m, cube in cubes.items():
            state = Scene(cube, windows.frames[m], model.device).states()
            states.update(np.unique(state[windows.frames[m], windows.row[:, None], windows.column[:, None]]))

    look()
    assert found > 8
    assert states == {0, 1, 2, 3}


def clouded(size: int, seed: int = 0):
    from tests.models.engine.scenes import DAY, Scene

    random = np.random.default_rng(seed)
    s2, s1 = random.random((10, 12, size, size), np.float32), random.random((2, 18, size, size), np.float32)
    for t in range(0, 12, 2):
        y, x = random.integers(0, size - 8, 2)
        s2[:, t, y : y + 9, x : x + 9] = np.nan
    time = np.datetime64("2022-04-01", "ns") + np.arange(12) * 5 * DAY
    s1_time = np.datetime64("2022-03-20", "ns") + np.arange(18) * 5 * DAY
    return Scene({"s1": s1, "s2": s2}, {"s1": s1_time, "s2": time}, "local")


def test_bf16_is_near_and_says_that_it_is_not_exact():
    model, scene = two_sensors(), clouded(size=16)
    exact = embed(model, scene)
    rounded = embed(model, scene, precision="bf16")
    error = np.nanmax(np.abs(rounded - exact))
    assert np.array_equal(np.isnan(rounded), np.isnan(exact))
    assert TOLERANCE < error < 0.1 * np.nanstd(exact) + 0.05


@needs_compiler
@pytest.mark.parametrize("instructions", [(), ("-mavx2", "-mfma")])
def test_kernels_for_narrower_vectors(tmp_path, monkeypatch, instructions):
    """What other processors run: the same sources without the widest vectors."""
    if instructions and not {"avx2", "fma"} <= set(build._processor().split()):
        pytest.skip("this processor lacks these instructions")
    from models.engine.dense import run

    flags = [f for f in build.FLAGS if f != "-march=native"]
    narrow = build._load(build.build(tmp_path, (*flags, *instructions)))
    model, scene = two_sensors(), clouded(size=16)
    expected = embed(model, scene, compiled=True)
    monkeypatch.setattr(run, "library", lambda rounded: narrow)
    assert_same(embed(model, scene, compiled=True), expected)
