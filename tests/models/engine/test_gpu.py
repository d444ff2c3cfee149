"""The GPU path without a GPU: its kernels in Triton's interpreter, compiled ahead of time, and doubted before use."""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from models.embed import embed_cube
from models.engine.dense import DenseEngine, exact, run
from models.engine.dense.exact import exact_products
from models.engine.dense.gpu import choose
from models.engine.dense.torch_frames import TorchContext, TorchFrames
from models.engine.tiles import LARGEST, SCRATCH, bytes_of
from models.frames import EDGE
from tests.models.engine.scenes import three_sensors, two_sensors

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
CASES = (
    "clear", "one channel", "nearly all missing", "a library's products", "transformer", "every token alone",
    "in steps", "transformer in steps", "proof", "cube",
)  # fmt: skip


def run_program(name: str, folder: Path, *arguments: str, **environment: str):
    """What a program beside this file prints, as JSON; Triton is told at import whether it interprets."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(folder), **environment}
    command = [sys.executable, "-W", "error", "-m", f"tests.models.engine.{name}", *arguments]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@needs_triton
@pytest.mark.slow
def test_kernels_give_plain_torchs_numbers(tmp_path):
    found = run_program("interpret_kernels", tmp_path, TRITON_INTERPRET="1")
    assert tuple(found) == CASES
    off = {(case, name): most for case, numbers in found.items() for name, most in numbers.items()}
    assert {key: most for key, most in off.items() if not most < choose.TOLERANCE} == {}
    assert off["cube", "embeddings"] > 0  # the kernels did it, not the reference


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_ampere_and_hopper_and_fit_their_registers(tmp_path):
    found = run_program("compile_kernels", tmp_path, "float32:90", "bf16:80")
    assert {k["kernel"] for k in found} == {
        "sum_taps", "join", "join_filled", "multiply", "channel_statistics", "channel_weights", "position_statistics",
        "weigh_and_pool", "last_attention", "fill_taps", "place_tokens", "attend", "feed_forward", "join_kinds",
        "neighbours",
    }  # fmt: skip
    assert [k for k in found if k["stack"]] == []  # nothing is spilled
    products = [k for k in found if k["kernel"] in ("multiply", "join", "join_filled")]
    assert max(k["registers"] for k in found if k not in products) <= 216  # two programs of 128 threads, or more
    assert max(k["shared"] for k in found if k not in products) <= 48 << 10
    assert max(k["shared"] for k in products if k["sm"] == 90) <= 227 << 10
    assert max(k["shared"] for k in products if k["sm"] == 80) <= 99 << 10  # which GPUs have that are like it


@needs_triton
def test_without_a_gpu_that_runs_them_plain_torch_does_and_the_log_says_why_once(caplog, monkeypatch):
    model = three_sensors()
    monkeypatch.setattr(choose, "_said", set())
    with caplog.at_level(logging.WARNING):
        kernels = [choose.triton_kernels(model, rounded=False) for _ in range(2)]
    assert kernels == [None, None]
    assert [r.message.split(":")[0] for r in caplog.records] == [
        "The dense engine runs on plain torch on this GPU, not on Triton's kernels"
    ]


@needs_triton
@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize("failure", [RuntimeError("an illegal access\nmore"), torch.OutOfMemoryError("no room")])
def test_a_gpu_that_failed_is_tried_again_before_it_is_used(monkeypatch, caplog, usable, failure):
    """Of a model that says it is on a GPU."""
    tried = []

    def synchronize(device):
        tried.append(device)
        if not usable:
            raise RuntimeError("an illegal access, still")

    def fail(*_):
        raise failure

    model = three_sensors()
    monkeypatch.setattr(type(model), "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(choose, "prove", fail)
    monkeypatch.setattr(choose, "_said", set())
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    if isinstance(failure, torch.OutOfMemoryError):
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            choose.triton_kernels(model, rounded=False)
        assert tried == []
        return
    if not usable:
        with pytest.raises(RuntimeError, match=r"cannot be used by this process any more.*an illegal access\)"):
            choose.triton_kernels(model, rounded=False)
    else:
        assert choose.triton_kernels(model, rounded=False) is None
        assert "RuntimeError: an illegal access" in caplog.text
    assert tried == [torch.device("cuda")]


@needs_triton
@pytest.mark.parametrize(
    ("capability", "rounded", "tried"),
    [
        ((9, 0), False, [True, False]),
        ((8, 0), True, [True, False]),
        ((8, 9), True, [True, False]),
        ((8, 6), False, [False]),
    ],
)
def test_matrix_units_are_tried_first_where_they_promise_more_and_cublas_next(
    monkeypatch, caplog, capability, rounded, tried
):
    model, asked = three_sensors(), []

    def fail_on_units(_, modality, kernels, __):
        asked.append((modality, kernels[0].setting.units))
        if kernels[0].setting.units:
            raise choose.KernelsDisagree("they do")

    monkeypatch.setattr(type(model), "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(choose, "prove", fail_on_units)
    monkeypatch.setattr(choose, "_said", set())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    kernels = choose.triton_kernels(model, rounded)
    assert list(kernels) == ["s1", "s2", "heat"]
    assert not kernels["s1"][0].setting.units
    assert [units for modality, units in asked if modality == "s1"] == tried
    assert (
        "The dense engine runs on cuBLAS instead of matrix units: KernelsDisagree: they do" in caplog.text
    ) == tried[0]


def test_a_model_on_a_gpu_asks_for_kernels_of_gpus(monkeypatch):
    model, asked = three_sensors(), []
    monkeypatch.setattr(run, "library", lambda rounded: pytest.fail("C++ on a GPU"))
    monkeypatch.setattr(type(model), "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(choose, "triton_kernels", lambda *arguments: asked.append(arguments))
    with pytest.raises(ValueError, match="no compiled kernels for this device"):
        DenseEngine(model, "bf16", compiled=True)
    assert asked == [(model, True)]


@pytest.mark.parametrize(
    ("add", "rounded", "says"),
    [(0, False, ""), (1e-3, False, r"allowed is 5\.0e-06"), (float("nan"), False, "by nan"), (1, True, "allowed is")],
)
def test_kernels_that_are_wrong_are_found_out(monkeypatch, add, rounded, says):
    """Those tried are plain torch's, of a model that is not quite the same."""
    for name, few in (("SIZE", (15, 16)), ("PATCHES", 2), ("WINDOWS", 2)):
        monkeypatch.setattr(choose, name, few)
    model = three_sensors()
    encoder = copy.deepcopy(model.encoder("heat"))
    encoder.frame.conv2.bias.data[3] += add
    kernels = TorchFrames(encoder.frame), TorchContext(encoder, model.card.attention)
    if not says:
        choose.prove(model, "heat", kernels, rounded)
        return
    with pytest.raises(choose.KernelsDisagree, match=f"heat: vectors of clear patches are off .*{says}"):
        choose.prove(model, "heat", kernels, rounded)


@needs_triton
@pytest.mark.parametrize(("rounded", "units"), [(False, True), (True, True), (False, False)])
def test_what_is_kept_fits_what_tiles_reckon_with(monkeypatch, rounded, units):
    """On tensors without numbers, of the largest tile's size."""
    from models.engine.dense.gpu import context, frames, products
    from models.engine.dense.gpu.weights import Buffers

    for module in (frames, context, products):
        monkeypatch.setattr(module, "launch", lambda *_, **__: None)
    nowhere, side = torch.device("meta"), LARGEST["cuda"]
    encoder, around, buffers = two_sensors().encoder("s2").to(nowhere), side + 2 * EDGE, Buffers()
    many = torch.zeros(side**2, dtype=torch.int64, device=nowhere)
    pool = torch.zeros(1, 256, device=nowhere)
    with torch.inference_mode():
        setting = products.Setting(buffers, rounded, units)
        engine = frames.TritonFrames(encoder.frame, setting)
        values = torch.zeros(around, around, 10, device=nowhere)
        maps = engine.load(values, values[..., 0] > 0, True)
        held = buffers.size
        engine.shared(maps, many, many, many, pool)
        engine.owned(maps, many, many, many, torch.zeros(side**2, 10, device=nowhere), pool)
        context.TritonContext(encoder, "frames", setting).encode(pool, many.expand(11, -1).T, many.expand(11, -1).T)
        most = buffers.size
        for smaller in (around - 9, around):  # tile after tile: nothing grows
            engine.load(values[:smaller, :smaller], values[:smaller, :smaller, 0] > 0, True)
    assert buffers.size == most
    maps_alone = bytes_of(side, 0, 0, "cuda") - SCRATCH - side**2 * 4 * 256 * 121
    assert held < maps_alone + SCRATCH / 2
    assert most < maps_alone + SCRATCH * 3 / 4  # the rest is for what torch takes on its own


def test_the_largest_tile_fits_a_gpu_of_8_gb():
    assert bytes_of(LARGEST["cuda"], dates=2 * 73, channels=12, kind="cuda") < 8e9


@pytest.fixture
def settings():
    """How torch multiplies, put back afterwards."""
    settings = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [s.fp32_precision for s in settings]
    yield settings
    for s, value in zip(settings, before, strict=True):
        s.fp32_precision = value


@pytest.mark.parametrize("before", [("none", "tf32"), ("tf32", "tf32"), ("tf32", "ieee")])
def test_products_are_exact_whatever_was_set(settings, before):
    for s, value in zip(settings, before, strict=True):
        s.fp32_precision = value
    with exact_products(torch.device("cuda")):
        assert [s.fp32_precision for s in settings] == ["ieee", "ieee"]
    assert tuple(s.fp32_precision for s in settings) == before


def test_an_engine_that_ends_leaves_products_exact_for_the_others(settings):
    for s in settings:
        s.fp32_precision = "tf32"
    first, second = (exact_products(torch.device("cuda")) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert [s.fp32_precision for s in settings] == ["ieee", "ieee"]
    second.__exit__(None, None, None)
    assert [s.fp32_precision for s in settings] == ["tf32", "tf32"]


@pytest.mark.parametrize("before", ["highest", "high"])
def test_products_are_exact_in_an_older_torch(monkeypatch, before):
    monkeypatch.setattr(exact, "PRECISION", "no such setting")
    usual = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(before)
        with exact_products(torch.device("cuda")):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision(usual)


@pytest.mark.parametrize("engine", ["dense", "windows"])
def test_what_was_set_for_gpus_does_not_matter_to_a_processor(settings, engine):
    """Torch refuses to tell the older settings where the newer ones differ from them."""
    for s, value in zip(settings, ("tf32", "ieee"), strict=True):
        s.fp32_precision = value
    with pytest.raises(RuntimeError, match="mix of the legacy and new"):
        torch.get_float32_matmul_precision()
    cubes = {m: np.full((c, 11, 15, 15), 0.1, np.float32) for m, c in (("s1", 2), ("s2", 10))}
    times = dict.fromkeys(cubes, np.datetime64("2022-01-01", "ns") + np.arange(11) * np.timedelta64(5, "D"))
    out = embed_cube(two_sensors(), cubes, times, "cube", engine=engine, quality=True)
    assert np.isfinite(out).any()
