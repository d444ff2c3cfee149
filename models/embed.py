"""`embed_cube`: from preprocessed cubes to a cube of embeddings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.card import QUALITY
from models.engine.dense import DenseEngine, Precision
from models.engine.quality import require_decoders, window_quality
from models.engine.tiles import NO_LIMIT, Tile, each_tile, tile_side
from models.engine.windows import BATCH, run_windows
from models.frames import EDGE, PATCH, WindowList, cube_windows, local_windows
from models.network import TwoStageModel

FrameRule = Literal["local", "cube"]
Engine = Literal["auto", "windows", "dense"]
Cube = NDArray[np.float32]
Times = NDArray[np.datetime64]
Progress = Callable[[int, int], None]
Turn = AbstractContextManager[Any]


def embed_cube(
    model: TwoStageModel,
    cubes: Mapping[str, ArrayLike],
    times: Mapping[str, ArrayLike],
    frames: FrameRule = "local",
    engine: Engine = "auto",
    precision: Precision = "float32",
    *,
    wanted: ArrayLike | None = None,
    quality: bool = False,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Cube:
    """Embed every pixel and date of a cube that can be embedded.

    Parameters
    ----------
    model : TwoStageModel
        From `load_model`.
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed (`models.preprocessing`), NaN = missing, on one grid.
    times : mapping of modality to (t,) datetime64, ascending, UTC
    frames : {"local", "cube"}
        Which frames a window holds. ``local``: the pixel's own acquisitions within reach, other sensors paired to
        them here; the number depends on place and date alone. ``cube``: as published, consecutive acquisitions of
        this cube, sensors paired by the caller (all time axes of one length).
    engine : {"auto", "windows", "dense"}
        How to compute; the numbers are the same. ``windows`` takes patch by patch, ``dense`` shares the work between
        neighbouring pixels and dates, ``auto`` decides frame by frame which is less work.
    precision : {"float32", "bf16"}
        ``bf16`` rounds what goes into matrix products of the dense engine to 8 bits: faster where the device
        multiplies such numbers, and no longer exact (see `openeo-embed bench`).
    wanted : (t,) bool, optional
        Dates of the reference modality to embed; all by default. The others serve as context only.
    quality : bool
        Also return `valid_fraction` and `reconstruction_error` (see `models.engine.quality`), as two further numbers
        after those of the embedding. Runs the decoders: on a CPU about twice the work of the embedding itself.
    memory : int, optional
        Bytes to make do with beside the cubes and the result; by default a share of what is free.
    progress : callable, optional
        Called with (work done, work in all), in pixels times frames.

    Returns
    -------
    (size, t, y, x) float32, or (size + 2, t, y, x) with `quality`
        On the reference modality's dates and the cubes' grid; NaN where there is no embedding: within 7 pixels of
        the edge, without five acquisitions on each side, or where the centre pixel is missing at that date.

    Raises
    ------
    ValueError
        A modality is missing, shapes do not fit, times do not ascend, a rule, engine or precision is not known, or the
        model has no decoders for `quality`.

    Notes
    -----
    Method: Peters et al. 2026, arXiv 2511.11706.
    """
    return Embedder(model, engine, precision, memory=memory).embed(
        cubes, times, frames, wanted=wanted, quality=quality, progress=progress
    )


class Embedder:
    """A model and an engine, made ready once for cube after cube. Threads take turns: the memory is used again.

    On GPUs they take turns for each tile, and list the windows of the next one while another's are computed.

    Parameters
    ----------
    compiled : bool, optional
        Whether the dense engine uses compiled kernels; by default where there are any.
    halved : callable, optional
        Called with the new side in pixels when a GPU's memory did not do for a tile and smaller ones are tried.

    See `embed_cube` for the others.
    """

    def __init__(
        self,
        model: TwoStageModel,
        engine: Engine = "auto",
        precision: Precision = "float32",
        *,
        memory: int | None = None,
        compiled: bool | None = None,
        halved: Callable[[int], None] | None = None,
    ) -> None:
        if engine not in get_args(Engine):
            raise ValueError(f"engine is {engine!r}; it must be 'auto', 'windows' or 'dense'")
        if engine == "windows" and precision != "float32":
            raise ValueError("The engine 'windows' is the exact reference: its precision is 'float32'")
        self.model = model
        self.memory = memory
        self.halved = halved
        self._most = NO_LIMIT  # side of a tile, as the device's memory has taught
        self._turn = threading.Lock()
        self._dense = (
            None if engine == "windows" else DenseEngine(model, precision, compiled=compiled, thrifty=engine == "auto")
        )

    @property
    def compiled(self) -> bool:
        """Whether compiled kernels do the work."""
        return self._dense is not None and self._dense.compiled

    def embed(
        self,
        cubes: Mapping[str, ArrayLike],
        times: Mapping[str, ArrayLike],
        frames: FrameRule = "local",
        *,
        wanted: ArrayLike | None = None,
        quality: bool = False,
        progress: Progress | None = None,
    ) -> Cube:
        """Embed a cube; see `embed_cube`."""
        card = self.model.card
        if quality:
            require_decoders(self.model)
        checked, axes = _check(self.model, cubes, times)
        dates, height, width = checked[card.reference].shape[1:]
        chosen = np.ones(dates, bool) if wanted is None else np.asarray(wanted, bool)
        out = np.full((card.size + len(QUALITY) * quality, dates, height, width), np.nan, np.float32)
        if min(height, width) < PATCH:
            return out
        rule = _Rule(self.model, checked, axes, frames, chosen)
        total_frames = sum(map(len, axes.values()))
        side = tile_side(self.model.device, total_frames, sum(c.shape[0] for c in checked.values()), self.memory)
        inner = (height - 2 * EDGE, width - 2 * EDGE)
        bar = _Bar(progress, inner[0] * inner[1] * total_frames)

        for_all, for_each = self._turns()

        def embed_tile(tile: Tile) -> None:
            rows, columns = (slice(s.start, s.stop + 2 * EDGE) for s in tile)
            part = {m: c[:, :, rows, columns] for m, c in checked.items()}
            windows = rule.windows(part)
            row, column = windows.row + EDGE + rows.start, windows.column + EDGE + columns.start
            for ids, own, group in windows.by_presence() if len(windows) else ():
                cubes = {m: part[m] for m in ids}
                with for_each:
                    numbers = self._run(cubes, group, bar.step(tile))
                    known = window_quality(self.model, cubes, group, numbers) if quality else None
                out[: card.size, group.date, row[own], column[own]] = numbers.T
                if known is not None:
                    out[card.size :, group.date, row[own], column[own]] = known.T
            bar.finish(tile, total_frames)

        def forget() -> None:
            with for_each:
                if self._dense:
                    self._dense.forget()

        with for_all:
            most = each_tile(*inner, min(side, self._most), embed_tile, self.halved, forget)
            self._most = min(self._most, most)
        return out

    def _turns(self) -> tuple[Turn, Turn]:
        """What is held for a whole cube, and what for each tile's computation.

        On processors listing windows takes cores and memory from computing: there a whole cube is one turn.
        """
        if self.model.device.type == "cpu":
            return self._turn, nullcontext()
        return nullcontext(), self._turn

    def _run(self, cubes: dict[str, Cube], windows: WindowList, step: Callable[[], None]) -> Cube:
        if self._dense:
            return self._dense.run(cubes, windows, step)["embedding"]
        return run_windows(self.model, cubes, windows, batch=BATCH)["embedding"]


class _Rule:
    """A frame rule with all that it needs to know of the whole cube."""

    def __init__(
        self,
        model: TwoStageModel,
        cubes: Mapping[str, Cube],
        times: Mapping[str, Times],
        frames: FrameRule,
        wanted: NDArray[np.bool_],
    ) -> None:
        self.model, self.times, self.frames, self.wanted = model, times, frames, wanted
        self.acquisitions = None
        if frames == "cube":  # of the cube, not of a tile
            reference = cubes[model.card.reference]
            self.acquisitions = np.flatnonzero([not np.isnan(reference[:, t]).all() for t in range(reference.shape[1])])

    def windows(self, cubes: Mapping[str, Cube]) -> WindowList:
        return list_windows(self.model, cubes, self.times, self.frames, self.wanted, self.acquisitions)


class _Bar:
    """Progress in pixels times frames."""

    def __init__(self, report: Progress | None, total: int) -> None:
        self.report, self.total = report, total
        self.before = self.now = 0

    def step(self, tile: Tile) -> Callable[[], None]:
        pixels = _pixels(tile)

        def advance() -> None:
            self._tell(self.now + pixels)

        return advance

    def finish(self, tile: Tile, frames: int) -> None:
        self.before += _pixels(tile) * frames  # also for frames that nothing was wanted of
        self._tell(self.before)

    def _tell(self, done: int) -> None:
        self.now = done
        if self.report:
            self.report(done, self.total)


def list_windows(
    model: TwoStageModel,
    cubes: Mapping[str, Cube],
    times: Mapping[str, Times],
    frames: FrameRule,
    wanted: NDArray[np.bool_],
    acquisitions: NDArray[np.int64] | None = None,
) -> WindowList:
    """List the windows that a frame rule finds in a cube; see `embed_cube` for the parameters.

    `acquisitions` are those that count under the rule ``cube``, where the cube is a part of a larger one.
    """
    valid = {m: np.asarray(~np.isnan(c).all(axis=0)) for m, c in cubes.items()}
    if frames == "cube":
        return cube_windows(valid, times, model.card.reference, wanted, acquisitions)
    if frames == "local":
        undecided = {m: np.asarray(np.isinf(c).any(axis=0)) for m, c in cubes.items()}
        optional = [m.id for m in model.card.modalities if m.optional]
        return local_windows(valid, undecided, times, model.card.reference, wanted, model.card.reach_days, optional)
    raise ValueError(f"frames is {frames!r}; it must be 'local' or 'cube'")


def _pixels(tile: Tile) -> int:
    rows, columns = tile
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _check(
    model: TwoStageModel, cubes: Mapping[str, ArrayLike], times: Mapping[str, ArrayLike]
) -> tuple[dict[str, Cube], dict[str, NDArray[np.datetime64]]]:
    """Order the modalities as the card does, as arrays; raise ValueError where something does not fit."""
    checked, axes, card = {}, {}, model.card
    for m in card.modalities:
        if m.optional and m.id not in cubes and card.reference in cubes:
            nowhere = np.shape(cubes[card.reference])[2:]
            checked[m.id], axes[m.id] = np.empty((len(m.bands), 0, *nowhere), np.float32), np.empty(0, "datetime64[ns]")
            continue
        if m.id not in cubes or m.id not in times:
            raise ValueError(f"The model needs {m.id!r} ({', '.join(m.bands)}) in both cubes and times")
        cube, axis = np.asarray(cubes[m.id], np.float32), np.asarray(times[m.id], "datetime64[ns]")
        if cube.ndim != 4 or cube.shape[:2] != (len(m.bands), len(axis)):
            raise ValueError(
                f"{m.id} must have the shape ({len(m.bands)}, {len(axis)}, y, x) by its bands and times; "
                f"got {cube.shape}"
            )
        if (np.diff(axis) < np.timedelta64(0)).any():
            raise ValueError(f"The times of {m.id} must ascend")
        checked[m.id], axes[m.id] = cube, axis
    grids = {m: c.shape[2:] for m, c in checked.items()}
    if len(set(grids.values())) > 1:
        raise ValueError(f"All modalities must lie on one grid; got {grids}")
    return checked, axes
