"""The graph of the real process by area, as the scheduler has it, not computed."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import rioxarray  # noqa: F401
from dask.core import flatten
from dask.order import order

from benchmarks.scaling.archive import DAY, EDGE, PIXEL, archive
from models.folders import PACKAGED
from processes.environment import Environment
from processes.implementations.multimodal_embed import multimodal_embed
from udf import ModelShelf
from udf.tiling import TileLayer

# 70 dates five days apart, with the model's reach of frames before and after, and Sentinel-1 every six days.
DATES, S2_DATES, S1_DATES, BEFORE = 70, 172, 143, 51
S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"]


@dataclass(frozen=True)
class Written:
    """A graph as the scheduler has it: the tasks, the keys that are wanted, and how long each step took."""

    size: int
    tasks: dict[Any, Any]
    keys: list[Any]
    build: float
    sent: int
    optimise: float
    layer: TileLayer

    @property
    def per_date(self) -> float:
        """Tasks for 1000 x 1000 pixels and date."""
        return len(self.tasks) / (self.size / 1000) ** 2 / DATES


def graphs() -> Iterator[str]:
    """The graph by area."""
    yield "## The graph"
    yield ""
    yield (
        f"`multimodal_embed` of {DATES} dates; with what a pixel's surroundings need, {S2_DATES} dates of Sentinel-2 "
        f"and {S1_DATES} of Sentinel-1 are loaded. Times are processor seconds: `optimise` and `order` are the "
        "scheduler's work, `sent` is what it is sent, `moved` what tiles take from loaded blocks: the most that can "
        "travel between workers."
    )
    yield ""
    yield "| area | tasks | per 1000 x 1000 px x date | build | sent | optimise | order | per task | moved | result |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for size in (1000, 2000, 4000, 10_000):
        graph = written(size)
        begin = time.process_time()
        order(graph.tasks)
        ordered = time.process_time() - begin
        each = 1000 * (graph.build + graph.optimise + ordered) / len(graph.tasks)
        yield (
            f"| {size * PIXEL // 1000} x {size * PIXEL // 1000} km | {len(graph.tasks):,} | {graph.per_date:.1f} | "
            f"{graph.build:.2f} s | {graph.sent / 1e6:.2f} MB | {graph.optimise:.1f} s | {ordered:.1f} s | "
            f"{each:.2f} ms | {moved(graph.layer) / 1e9:,.0f} GB | {7 * 4 * DATES * size**2 / 1e9:,.1f} GB |"
        )


def written(size: int) -> Written:
    """Plan the embeddings of an area and do what the scheduler does with the graph."""
    full, start = size + 2 * EDGE, np.datetime64("2021-01-01", "ns")
    begin = time.process_time()
    around = archive("s2", S2, start + np.arange(S2_DATES) * 5 * DAY, full)
    s1 = archive("s1", ["VV", "VH"], start + np.arange(S1_DATES) * 6 * DAY, full)
    data = around.isel(t=slice(BEFORE, BEFORE + DATES), y=slice(EDGE, -EDGE), x=slice(EDGE, -EDGE))
    env = Environment(catalog=None, models=ModelShelf((PACKAGED,), "demo"))  # type: ignore[arg-type]
    out = multimodal_embed(data, [s1], env=env, wide={"data": around, "others": [s1]}).data
    build = time.process_time() - begin
    graph = out.__dask_graph__()
    sent = len(pickle.dumps(graph, protocol=5))
    layer = next(layer for layer in graph.layers.values() if isinstance(layer, TileLayer))
    begin = time.process_time()
    tasks = dict(out.__dask_optimize__(graph, out.__dask_keys__()))
    return Written(size, tasks, list(flatten(out.__dask_keys__())), build, sent, time.process_time() - begin, layer)


def moved(layer: TileLayer) -> int:
    """Bytes that the tiles take from the blocks of their sources."""
    return sum(
        4 * int(np.prod([part.stop - part.start for part in wanted]))
        for index in layer.indices
        for wanted in layer.tile(index).wanted
    )
