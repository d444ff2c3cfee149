"""How embeddings scale: `python -m benchmarks.scaling [--parts graph scheduler speed memory]`.

- graph: the graph of the real process for areas of 1, 4 and 16 times 10 x 10 km and for 100 x 100 km, 70 dates, built,
  optimised and ordered as the scheduler does it, but not computed.
- scheduler: the same graphs with tasks that do nothing, on a real scheduler process and workers.
- speed: a small cube embedded by 1, 2 and 4 worker processes.
- memory: the peaks of the worker processes and of the runner while the area grows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dask

from benchmarks.scaling.cluster import memory, scheduling, speed
from benchmarks.scaling.graphs import graphs
from models.benchmark import machine

PARTS = ("graph", "scheduler", "speed", "memory")


def main() -> None:
    """Run the parts and write the page."""
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.with_suffix(".md"))
    arguments = parser.parse_args()
    import torch

    lines = ["# Scaling", ""]
    lines += [f"`python -m benchmarks.scaling --parts {' '.join(arguments.parts)}` on {machine(torch.device('cpu'))}."]
    lines += ["The machine was shared with other work: times are upper bounds.", ""]
    for part in arguments.parts:
        for line in {"graph": graphs, "scheduler": scheduling, "speed": speed, "memory": memory}[part]():
            print(line, flush=True)
            lines.append(line)
        lines.append("")
    arguments.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
