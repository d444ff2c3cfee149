"""Engines measured: how fast, how exact, with how much memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.benchmark.cases import Cubes, Times
from models.benchmark.device import Peak, seconds_of
from models.benchmark.exact import Reference
from models.benchmark.work import bytes_per_embedding, work_per_embedding
from models.embed import Embedder, list_windows
from models.engine.windows import run_windows
from models.frames import WindowList
from models.network import TwoStageModel


@dataclass(frozen=True)
class Result:
    """What an engine did on a case.

    Attributes
    ----------
    rate : float
        Embeddings per second.
    error : float
        Largest difference from float64, over a sample of windows.
    memory : int
        Bytes above what was held before, at most; of the GPU where the model is on one.
    work : float
        Multiplications and additions per second that the dense engine's arithmetic asks for.
    traffic : float
        Bytes per second that the kernels for GPUs hand each other (`bytes_per_embedding`); 0 where they do not do the
        work: what plain torch moves is not counted, and on processors caches hold it.
    """

    rate: float
    error: float
    memory: int
    work: float
    traffic: float


def windows_of(model: TwoStageModel, cubes: Cubes, times: Times) -> WindowList:
    """All windows of a case."""
    return list_windows(model, cubes, times, "cube", np.ones(len(times[model.card.reference]), bool))


def sample(windows: WindowList, n: int, seed: int = 1) -> WindowList:
    """Some of the windows, drawn at random, in their order."""
    drawn = np.random.default_rng(seed).choice(len(windows), min(n, len(windows)), replace=False)
    return windows.take(np.sort(drawn))


def measure_alone(
    model: TwoStageModel, cubes: Cubes, windows: WindowList, *, decode: bool
) -> tuple[float, NDArray[np.float32]]:
    """Compute every window on its own, as published where it decodes, too: embeddings per second, embeddings."""
    out: list[NDArray[np.float32]] = []

    def run(part: WindowList) -> None:
        out.append(run_windows(model, cubes, part, share=False)["embedding"])
        if decode:
            _decode(model, out[-1], part)

    run(windows.take(slice(0, 4)))
    return len(windows) / seconds_of(lambda: run(windows), model.device), out[-1]


def _decode(model: TwoStageModel, embeddings: NDArray[np.float32], windows: WindowList) -> None:
    with torch.inference_mode():
        for begin in range(0, len(windows), 4):  # a window's decoded frames take 30 MB
            part = slice(begin, begin + 4)
            gaps = {m: torch.from_numpy(g[part]).to(model.device) for m, g in windows.gaps.items()}
            model.decode(torch.from_numpy(embeddings[part]).to(model.device), gaps)


def measure(embedder: Embedder, cubes: Cubes, times: Times, reference: Reference, rounded: bool = False) -> Result:
    """Run an engine on a whole case, after a corner of it that has all kernels chosen and weights packed.

    `rounded` says whether it is one of bf16, for its traffic.
    """
    model = embedder.model
    n = len(windows_of(model, cubes, times))
    embedder.embed({m: c[..., :16, :16] for m, c in cubes.items()}, times, "cube")
    with Peak(model.device) as memory:
        out: list[NDArray[np.float32]] = []
        seconds = seconds_of(lambda: out.append(embedder.embed(cubes, times, "cube")), model.device)
    per_second = n / seconds
    counted = model.device.type == "cuda" and embedder.compiled
    traffic = bytes_per_embedding(model, cubes, rounded) if counted else 0.0
    minimal = embedder.compiled and model.device.type == "cpu" and not rounded
    work = work_per_embedding(model, cubes, minimal=minimal)
    return Result(per_second, reference.error(out[-1]), memory[0], per_second * work, per_second * traffic)
