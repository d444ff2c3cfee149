"""Memory of a long stream of tiles: `python -m benchmarks.memory [--tiles 3]`.

Embeds the first tiles of a lazy cube of 1024 x 1024 pixels and 30 dates, as a worker would, one after the other, and
prints the process's peak after each: it must stay below 4 GB and not grow. The rest of the cube is more of the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np

from models.benchmark import machine
from models.folders import PACKAGED
from udf import ModelShelf, SensorCube, embed_lazily
from udf.embedding import LARGEST

SIZE, DATES, S1_DATES = 1024, 30, 40
DAY = np.timedelta64(1, "D")


def main() -> None:
    """Run the benchmark and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    import torch

    whole = cube()
    lines = [
        "# Memory of a stream of tiles",
        "",
        f"`python -m benchmarks.memory --tiles {arguments.tiles}` on {machine(torch.device('cpu'))}: tiles of a "
        f"lazy cube of {SIZE} x {SIZE} pixels and {DATES} dates of two sensors, a third of Sentinel-2 hidden; "
        f"{whole.npartitions} tiles in all.",
        "",
        "| tiles done | embeddings | seconds | peak of the process |",
        "|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    begin = time.perf_counter()
    for i in range(arguments.tiles):
        tile = np.asarray(whole[:, :, :LARGEST, i * LARGEST : (i + 1) * LARGEST].compute(scheduler="sync"))
        found = int(np.isfinite(tile[0]).sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        lines.append(f"| {i + 1} | {found} | {time.perf_counter() - begin:.0f} | {peak / 1e9:.2f} GB |")
        print(lines[-1], flush=True)
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def cube() -> da.Array:
    """The lazy embeddings of a simulated cube: values made block by block, clouds over a third."""
    random = da.random.default_rng(0)
    chunks = (-1, 1, 256, 256)
    s2 = random.random((10, DATES, SIZE, SIZE), chunks=chunks, dtype=np.float32) * np.float32(0.5)
    cloudy = (
        da.repeat(da.repeat(random.random((DATES, SIZE // 32, SIZE // 32), chunks=(1, 8, 8)), 32, 1), 32, 2) < 1 / 3
    )
    s1 = random.random((2, S1_DATES, SIZE, SIZE), chunks=chunks, dtype=np.float32) * np.float32(0.2)
    start = np.datetime64("2022-03-01", "ns")
    sensors = {
        "s1": SensorCube(s1, start - 25 * DAY + np.arange(S1_DATES) * 5 * DAY),
        "s2": SensorCube(da.where(cloudy, np.float32(np.nan), s2), start + np.arange(DATES) * 5 * DAY),
    }
    model = ModelShelf((PACKAGED,), "demo").get(None)
    return embed_lazily(model, sensors, np.ones(DATES, bool), slice(0, SIZE), slice(0, SIZE))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    dask.config.set(scheduler="sync")
    main()
