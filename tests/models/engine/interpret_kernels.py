"""Run the GPU path in Triton's interpreter: run as a program with ``TRITON_INTERPRET=1``, it prints how far off it is.

Off plain torch, in units of the largest number where that is more than 1.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch

from models.embed import Embedder
from models.engine.dense import run
from models.engine.dense.gpu import choose, context, frames
from models.engine.dense.gpu.launch import Blocks
from models.engine.dense.gpu.products import Setting
from models.engine.dense.gpu.weights import WIDE, Buffers
from models.engine.dense.torch_frames import TorchContext, TorchFrames
from models.network.frame_encoder import WIDTH
from tests.models.engine.scenes import DAY, Scene, three_sensors, two_sensors

# Few, large programs, because they are slow, and several programs of everything.
FEW = Blocks(
    1 << 15,
    1 << 17,
    positions=256,
    channels=256,
    tokens=128,
    rows=1024,
    columns=256,
    depth=512,
    joined=4096,
    filled=256,
)
CUT = Blocks(
    1 << 14, 1 << 14, positions=128, channels=64, tokens=8, rows=32, columns=64, depth=128, joined=2048, filled=64
)
FAR = 1e9  # what lies beyond the ends of what is given


class Guarded(Buffers):
    """Memory that is NaN until written, and shows it where something was written beyond its ends."""

    EDGE = 1 << 12

    def __init__(self):
        super().__init__()
        self.given = []

    def get(self, name, shape, like):
        size = int(np.prod(shape)) * like.element_size()
        self.given.append(torch.full((size + 2 * self.EDGE,), 255, dtype=torch.uint8))
        return self.given[-1][self.EDGE : -self.EDGE].view(like.dtype).view(shape)

    def untouched(self) -> bool:
        return all((g[: self.EDGE] == 255).all() and (g[-self.EDGE :] == 255).all() for g in self.given)


@contextmanager
def small_steps(pixels: int, patches: int, windows: int):
    """Frames, patches and windows in several steps."""
    strip = 49 * WIDE * 4 * pixels
    with (
        mock.patch.object(frames, "STRIP", strip),
        mock.patch.object(frames, "SHARED", 4 * patches),
        mock.patch.object(frames, "OWNED", 4 * patches),
        mock.patch.object(context, "WINDOWS", windows),
    ):
        yield


@contextmanager
def as_on_gpus():
    """What the interpreter does otherwise: it cuts off bf16, multiplies them as whole numbers, and all of float32."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, tl

    multiply, cast = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl

    def taken(x, precision) -> TensorHandle:
        if x.dtype == tl.bfloat16:
            return TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
        if "TF32" in str(precision):
            return TensorHandle((x.data.view(np.uint32) & 0xFFFFE000).view(np.float32), tl.float32)
        return x

    def create_dot(self, a, b, d, precision, most):
        return multiply(self, taken(a, precision), taken(b, precision), d, precision, most)

    def cast_impl(self, x, to):
        if x.dtype.scalar == tl.float32 and to.scalar == tl.bfloat16:
            rounded = torch.from_numpy(np.array(x.data)).bfloat16().view(torch.int16).numpy()
            return TensorHandle(rounded.view(np.uint16), tl.bfloat16)
        return cast(self, x, to)

    with mock.patch.multiple(InterpreterBuilder, create_dot=create_dot, cast_impl=cast_impl):
        yield


def within(values: torch.Tensor) -> torch.Tensor:
    """The same values with others on both sides in memory."""
    around = torch.full((len(values) + 8, *values.shape[1:]), FAR).to(values.dtype)
    around[4:-4] = values
    return around[4:-4]


def masked(kind: str, size: tuple[int, int], random: torch.Generator) -> torch.Tensor:
    """What is missing of a frame."""
    missing = torch.rand(size, generator=random) < {"none": 0, "some": 0.3, "all but one": 1}[kind]
    if kind == "all but one":
        missing[size[0] // 2, size[1] // 2] = False
    return missing


def maps_and_vectors(encoder, setting: dict, size: tuple[int, int], kind: str) -> dict[str, float]:
    """A frame of a size and with values missing, against plain torch."""
    random = torch.Generator().manual_seed(sum(size))
    buffers, out, channels = Guarded(), {}, encoder.conv0.in_channels
    ours, plain = frames.TritonFrames(encoder, Setting(buffers, **setting)), TorchFrames(encoder)
    missing = masked(kind, size, random)
    values = torch.rand(*size, channels, generator=random).masked_fill(missing[..., None], 0)
    places = torch.cartesian_prod(*(torch.tensor([0, s - 15]).unique() for s in size)).T.contiguous()
    slot = torch.randperm(places.shape[1] + 1, generator=random)[1:]
    fill = torch.rand(len(slot), channels, generator=random)
    maps, expected = ours.load(values, missing, kind != "none"), plain.load(values, missing, kind != "none")
    for name in ("joined", "sums7", "sums3"):
        if (mine := getattr(maps, name)) is not None:
            out[name] = choose._off(mine[:, :WIDTH], getattr(expected, name)) + float(mine[:, WIDTH:].abs().max())
    pools = [within(torch.full((len(slot) + 1, 256), -FAR)) for _ in range(2)]
    for engine, own, pool in ((ours, maps, pools[0]), (plain, expected, pools[1])):
        if kind == "none":
            engine.shared(own, *places, slot, pool)
        else:
            engine.owned(own, *places, slot, fill, pool)
    written = pools[1] > -FAR
    out["vectors"] = choose._off(pools[0][written], pools[1][written])
    out["elsewhere"] = float((pools[0][~written] != -FAR).sum()) + (not buffers.untouched())
    return out


def bottlenecks(encoder, attention: str, setting: dict) -> dict[str, float]:
    """Windows of vectors, in batches."""
    random, buffers = torch.Generator().manual_seed(5), Guarded()
    pool = within(torch.randn(30, 256, generator=random))
    index = torch.randint(0, 30, (5, 11), generator=random)
    days = torch.randint(0, 19, (5, 11), generator=random).cumsum(1)
    days -= days[:, :1].clone()
    ours = context.TritonContext(encoder, attention, Setting(buffers, **setting)).encode(pool, index, days)
    expected = TorchContext(encoder, attention).encode(pool, index, days)
    return {"bottlenecks": choose._off(ours, expected), "elsewhere": float(not buffers.untouched())}


def proof() -> dict[str, float]:
    """What is tried before kernels are used, of those that round: by how much they fail it."""
    model = three_sensors("self")
    with mock.patch.multiple(choose, SIZE=(16, 15), PATCHES=2, WINDOWS=2):
        found = choose.compare(model, "s1", _kernels(model, "s1", rounded=True), rounded=True)
    return {name: max(off / most - 1, 0) for name, (off, most) in found.items()}


def _kernels(model, modality: str, rounded: bool):
    encoder, setting = model.encoder(modality), Setting(Buffers(), rounded, blocks=FEW)
    return frames.TritonFrames(encoder.frame, setting), context.TritonContext(encoder, model.card.attention, setting)


def cube() -> dict[str, float]:
    """A whole engine on a small cube, of which most frames repeat so that it takes no longer."""
    random, model = np.random.default_rng(2), two_sensors()
    s2, s1 = random.random((10, 12, 15, 16), np.float32), random.random((2, 12, 15, 16), np.float32)
    s2[:, :5], s2[:, 6:], s1[:] = s2[:, :1], s2[:, 6:7], s1[:, :1]
    s2[:, 5, 3:9, 9:] = np.nan
    s2[:, 11, :, :15] = np.nan
    time = np.datetime64("2022-04-01", "ns") + np.arange(12) * 5 * DAY
    scene = Scene({"s1": s1, "s2": s2}, {"s1": time, "s2": time}, "cube")
    expected = Embedder(model, "windows").embed(scene.cubes, scene.times, scene.rule)

    def interpreted(model, rounded):
        return {m: _kernels(model, m, rounded) for m in model.encoders}

    with mock.patch.object(run, "_compiled", interpreted):
        ours = Embedder(model, "dense").embed(scene.cubes, scene.times, scene.rule)
    assert np.isfinite(expected).sum() == 4 * 7
    elsewhere = np.isnan(ours) != np.isnan(expected)
    return {"embeddings": float(np.nanmax(np.abs(ours - expected))), "elsewhere": float(elsewhere.sum())}


def main() -> None:
    """Print a JSON object: how far off every number of every case is."""
    torch.set_num_threads(1)
    with as_on_gpus():
        sys.stdout.write(json.dumps(cases()))


def cases() -> dict[str, dict[str, float]]:
    """How far off every number of every case is."""
    two, three = two_sensors(), three_sensors()
    s2, heat = two.encoder("s2"), three.encoder("heat")
    with torch.inference_mode():
        few, cut, library = {"blocks": FEW}, {"blocks": CUT}, {"blocks": FEW, "units": False}
        found = {
            "clear": maps_and_vectors(s2.frame, few, (15, 17), "none"),
            "one channel": maps_and_vectors(heat.frame, few, (16, 15), "some"),
            "nearly all missing": maps_and_vectors(s2.frame, few, (15, 15), "all but one"),
            "a library's products": maps_and_vectors(s2.frame, library, (15, 15), "some"),
            "transformer": bottlenecks(s2, "frames", cut),
            "every token alone": bottlenecks(heat, "self", few),
        }
        with small_steps(pixels=90, patches=1, windows=2):
            found["in steps"] = maps_and_vectors(s2.frame, cut, (16, 15), "some")
            found["transformer in steps"] = bottlenecks(s2, "frames", library)
        found["proof"] = proof()
    found["cube"] = cube()
    return found


if __name__ == "__main__":
    main()
