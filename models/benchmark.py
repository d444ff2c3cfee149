"""How fast the engines are, how exact and how much memory they take: one run, one cube, one machine."""

from __future__ import annotations

import copy
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.embed import Embedder, list_windows
from models.engine.dense.sensor import ALONE, PER_PATCH, PER_PIXEL
from models.engine.patches import Patches, make_patches
from models.engine.tiles import tile_side
from models.engine.windows import run_windows
from models.frames import EDGE, FRAMES, WindowList
from models.network import TwoStageModel
from models.network.frame_encoder import WIDTH

DAY = np.timedelta64(1, "D")
PIXEL = 10  # metres
SERIES = {"one date": 11, "5 of 15 dates": 15, "35 of 45 dates": 45}
TRANSFORMER = 17.6e6  # multiplications of a window's tokens, of two sensors

Cubes = dict[str, NDArray[np.float32]]
Times = dict[str, NDArray[np.datetime64]]


@dataclass(frozen=True)
class Case:
    """A series and how cloudy it is; `blobs` in metres, 0 for a clear sky."""

    series: str
    blobs: int = 0

    @property
    def name(self) -> str:
        """As the table says it."""
        return f"{self.series}, {f'50 % cloud in {self.blobs} m blobs' if self.blobs else 'clear'}"


CASES = (
    *(Case(series) for series in SERIES),
    Case("5 of 15 dates", 80),
    Case("5 of 15 dates", 400),
)


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


def make_case(case: Case, model: TwoStageModel, size: int, seed: int = 0) -> tuple[Cubes, Times]:
    """Cubes of fields of `size` embedded pixels a side, sensors paired: the frame rule ``cube``."""
    random = np.random.default_rng(seed)
    dates, side = SERIES[case.series], size + 2 * EDGE
    time_axis = np.datetime64("2022-01-01", "ns") + np.arange(dates) * 5 * DAY
    cubes = {m.id: fields(random, len(m.bands), dates, side) for m in model.card.modalities}
    if case.blobs:
        reference = cubes[model.card.reference]
        for t in range(dates):
            reference[:, t, blobs(random, side, case.blobs / PIXEL)] = np.nan
    return cubes, dict.fromkeys(cubes, time_axis)


def fields(random: np.random.Generator, channels: int, dates: int, side: int, width: int = 6) -> NDArray[np.float32]:
    """Values in [0, 1] of fields of `width` pixels that change slowly, with noise: (channels, dates, side, side)."""
    n = -(-side // width)
    field = np.kron(random.beta(2, 6, (channels, 1, n, n)), np.ones((width, width)))[..., :side, :side]
    season = 1 + 0.3 * np.sin(np.arange(dates) / 9 + random.uniform(0, 6, (channels, 1)))[..., None, None]
    noise = random.normal(0, 0.01, (channels, dates, side, side))
    return np.clip(field * season + noise, 0, 1).astype(np.float32)


def blobs(random: np.random.Generator, side: int, width: float) -> NDArray[np.bool_]:
    """Half of an area, in blobs of about that width in pixels; the area is a part of a larger one."""
    from scipy.ndimage import gaussian_filter

    around = int(4 * width) + side
    field = gaussian_filter(random.standard_normal((around, around)), width / 2, mode="wrap")
    begin = int(random.integers(0, around - side + 1))
    cloudy: NDArray[np.bool_] = (field > np.median(field))[begin : begin + side, begin : begin + side]
    return cloudy


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
    return len(windows) / _seconds(lambda: run(windows), model.device), out[-1]


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
    with _Peak(model.device) as memory:
        out: list[NDArray[np.float32]] = []
        seconds = _seconds(lambda: out.append(embedder.embed(cubes, times, "cube")), model.device)
    per_second = n / seconds
    counted = model.device.type == "cuda" and embedder.compiled
    traffic = bytes_per_embedding(model, cubes, rounded) if counted else 0.0
    work = work_per_embedding(model, cubes)
    return Result(per_second, reference.error(out[-1]), memory[0], per_second * work, per_second * traffic)


@dataclass(frozen=True)
class Reference:
    """Windows computed in float64, what float32 is held against."""

    windows: WindowList
    values: NDArray[np.float64]

    def error(self, out: NDArray[np.float32]) -> float:
        """Largest difference of a cube of embeddings."""
        w = self.windows
        return self.error_of(out[:, w.date, w.row + EDGE, w.column + EDGE].T)

    def error_of(self, values: NDArray[np.float32]) -> float:
        """Largest difference of the same windows' embeddings."""
        return float(np.abs(values - self.values).max())


def reference(model: TwoStageModel, cubes: Cubes, windows: WindowList) -> Reference:
    """Compute some windows on their own in float64, a few at a time."""
    exact = copy.deepcopy(model).double()
    patches = {m: make_patches(cube, model.device) for m, cube in cubes.items()}
    parts = [_exact(exact, patches, windows.take(slice(i, i + 4))) for i in range(0, len(windows), 4)]
    return Reference(windows, np.concatenate(parts))


def _exact(model: TwoStageModel, patches: Mapping[str, Patches], windows: WindowList) -> NDArray[np.float64]:
    def tensor(values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(model.device)

    x = {}
    for m, own in patches.items():
        frames, row, column = tensor(windows.frames[m]), tensor(windows.row), tensor(windows.column)
        fill = own.fill(frames, row, column).repeat_interleave(FRAMES, 0)
        places = (row.repeat_interleave(FRAMES), column.repeat_interleave(FRAMES))
        filled = own.take_filled(frames.flatten(), *places, fill).double()
        x[m] = filled.view(*frames.shape, *filled.shape[1:])
    with torch.inference_mode():
        out: NDArray[np.float64] = (
            model(x, {m: tensor(g) for m, g in windows.gaps.items()}, tensor(windows.delta)).cpu().numpy()
        )
    return out


def work_per_embedding(model: TwoStageModel, cubes: Cubes) -> float:
    """Operations (a multiplication and an addition are two) that the dense engine needs for an embedding.

    Of clear frames: what missing values add differs from patch to patch.
    """
    frames, halo = _shared(model, cubes)
    return float(2 * (frames * (halo * PER_PIXEL + PER_PATCH) * WIDTH**2 + TRANSFORMER * len(cubes) / 2))


def bytes_per_embedding(model: TwoStageModel, cubes: Cubes, rounded: bool) -> float:
    """Bytes that the kernels for GPUs read and write for an embedding of clear frames, by count, not as measured."""
    from models.engine.dense.gpu.traffic import bytes_moved

    frames, halo = _shared(model, cubes)
    return bytes_moved(frames * halo, frames, len(cubes), rounded)


def _shared(model: TwoStageModel, cubes: Cubes) -> tuple[float, float]:
    """Frames that an embedding has to itself, of all sensors, and pixels of a frame for each that is embedded."""
    dates, height, width = cubes[model.card.reference].shape[1:]
    inner = (height - 2 * EDGE, width - 2 * EDGE)
    side = tile_side(model.device, dates * len(cubes), sum(c.shape[0] for c in cubes.values()), None)
    halo = np.prod([i + 2 * EDGE * -(-i // side) for i in inner]) / np.prod(inner)
    return dates / (dates - FRAMES + 1) * len(cubes), float(halo)


def alone_work(model: TwoStageModel) -> float:
    """Operations of a window computed on its own."""
    modalities = len(model.card.modalities)
    return 2 * (modalities * FRAMES * ALONE * WIDTH**2 + TRANSFORMER * modalities / 2)


def ceilings(device: torch.device, dtype: torch.dtype = torch.float32) -> Mapping[str, float]:
    """What this device reaches: matrix products (operations per second) and copies (bytes per second)."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    block = torch.empty((1 << 30) if device.type == "cuda" else (1 << 27), dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    product = min(_seconds(lambda: a @ b, device) for _ in range(5))
    copy = min(_seconds(lambda: other.copy_(block), device) for _ in range(5))
    return {"matrix": 2 * n**3 / product, "copy": 2 * block.numel() / copy}


def machine(device: torch.device) -> str:
    """Name the machine."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return f"{processor()}, {threads}, torch {torch.__version__}"


def processor() -> str:
    """Name the processor."""
    names = [s.split(":")[1].strip() for s in _lines("/proc/cpuinfo") if s.startswith("model name")]
    return names[0] if names else platform.machine()


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


class _Peak:
    """Watches memory while it is entered: the one entry of the list holds the bytes above the beginning, at most."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.found = [0]

    def __enter__(self) -> list[int]:
        self._over = threading.Event()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._before = _resident()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.found[0] = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._over.set()
            self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.found[0] = max(self.found[0], _resident() - self._before)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    pages = next((line.split()[1] for line in _lines("/proc/self/statm")), None)
    return int(pages) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def _lines(path: str) -> Iterator[str]:
    if Path(path).exists():
        yield from Path(path).read_text(errors="replace").splitlines()
