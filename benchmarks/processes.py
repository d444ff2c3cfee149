"""What the standard processes cost: `python -m benchmarks.processes [--small]`.

Each line compares with the same computation written by hand, on the same cluster and data in the same run, or counts
tasks and bytes. The table is printed and written to ``benchmarks/processes.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import rasterio.features
import shapely
import xarray as xr
from dask._task_spec import Alias
from distributed import Client, LocalCluster
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy import ndimage

from benchmarks.machine import this_machine
from processes.environment import Environment
from processes.graph import check_graph, evaluate
from processes.graph.package import Process, ProcessRegistry
from processes.registry import build_registry

CRS = "EPSG:32631"
WEST, NORTH = 500_000, 5_700_000
REPORT = Path(__file__).with_suffix(".md")
Graph = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table: `value` should not exceed `limit`."""

    what: str
    value: float
    limit: float
    detail: str


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a 16th of the pixels: a minute or two")
    small = parser.parse_args().small
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _cluster(Path(folder)):
        rows = [
            building(),
            *(row for name in ("merge", "mask", "coarse mask") for row in counted(name)),
            ndvi_medians(Path(folder), 512 if small else 2048),
            polygons(Path(folder), 512 if small else 1024, 250 if small else 1000),
        ]
    text = _table(rows, small, time.perf_counter() - started)
    print(text)
    REPORT.write_text(text, encoding="utf-8")


@contextmanager
def _cluster(folder: Path) -> Iterator[None]:
    """Run a local cluster with a process per core, as the server does."""
    cores = os.cpu_count() or 1
    with dask.config.set({"distributed.scheduler.work-stealing": True, "temporary-directory": str(folder)}):
        cluster = LocalCluster(cores, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster):
            yield


def building() -> Row:
    """Time from the JSON of a graph of 200 nodes to its lazy cube."""
    cube = _cube(70, ("B04", "B08"), 1024)
    nodes: Graph = {"n0": _node("cube", cube={"from_parameter": "cube"})}
    for i in range(0, 198, 6):
        last, n = _of(f"n{i}"), [f"n{i + k}" for k in range(1, 7)]
        nodes[n[0]] = _node("filter_bands", data=last, bands=["B04", "B08"])
        nodes[n[1]] = _node("apply", data=_of(n[0]), process=_one("linear_scale_range", x=_X, inputMin=0, inputMax=1))
        nodes[n[2]] = _node("apply", data=last, process=_one("gt", x=_X, y=0.5))
        nodes[n[3]] = _node("mask", data=_of(n[1]), mask=_of(n[2]))
        nodes[n[4]] = _node("merge_cubes", cube1=_of(n[3]), cube2=_of(n[0]), overlap_resolver=_one("max", data=_XY))
        nodes[n[5]] = _node("filter_temporal", data=_of(n[4]), extent=["2022-01-01", "2024-01-01"])
    last = _of(f"n{len(nodes) - 1}")
    nodes["last"] = _node("reduce_dimension", data=last, dimension="t", reducer=_one("median", data=_DATA))
    registry = _registry()
    seconds = _quickest(lambda: _run(nodes, registry, cube=cube), 3)
    return Row(f"graph of {len(nodes)} nodes to a lazy cube: seconds", seconds, 1.0, "16 blocks of 256 x 256 pixels")


def counted(name: str) -> Iterator[Row]:
    """Count tasks (after Dask's optimisation) and bytes of a cube from two, per those of its inputs."""
    for layout, chunks in (("tiles", (-1, -1, 256, 256)), ("dates", (1, -1, -1, -1))):
        data = _cube(146, ("B04", "B08"), 1024, chunks)
        if name == "merge":
            other = _cube(60, ("B04", "B08"), 1024, chunks, start=2)
            made = _run(
                {"one": _node("merge_cubes", cube1={"from_parameter": "a"}, cube2={"from_parameter": "b"})},
                a=data, b=other,
            )  # fmt: skip
        else:
            step = 2 if name == "coarse mask" else 1
            size = 1024 // step
            small = tuple(c // step if c > 1 else c for c in chunks)
            other = _cube(146, ("SCL",), size, small, step=step).isel(bands=0, drop=True)
            made = _run(
                {"one": _node("mask", data={"from_parameter": "a"}, mask={"from_parameter": "b"})}, a=data, b=other
            )
        before = _tasks(data) + _tasks(other)
        detail = f"{_tasks(made)} for {before}; 146 + {other.sizes['t']} dates, 1024 x 1024, blocks are {layout}"
        yield Row(f"{name}, {layout}: tasks per task of the inputs", _tasks(made) / before, 1.25, detail)
        inputs = data.nbytes + (other.nbytes if name == "merge" else 0)
        yield Row(f"{name}, {layout}: bytes per byte", made.nbytes / inputs, 1.25, f"{made.nbytes / 2**20:.0f} MiB")


def ndvi_medians(folder: Path, size: int) -> Row:
    """NDVI and the median of each month, against xarray by hand."""
    cube = _stored(folder, 70, size)
    nodes = {
        "load": _node("cube", cube={"from_parameter": "cube"}),
        "index": _node("ndvi", data=_of("load"), nir="B08", red="B04"),
        "months": _node(
            "aggregate_temporal_period", data=_of("index"), period="month", reducer=_one("median", data=_DATA)
        ),
    }

    def by_hand() -> xr.DataArray:
        nir, red = cube.sel(bands="B08", drop=True), cube.sel(bands="B04", drop=True)
        return ((nir - red) / (nir + red)).resample(t="MS").median()

    ours = _run(nodes, cube=cube)
    np.testing.assert_allclose(ours[..., :64, :64].values, by_hand()[..., :64, :64].values, rtol=1e-5, atol=1e-6)
    own, other = _compared(lambda: ours.sum(skipna=True).compute(), lambda: by_hand().sum(skipna=True).compute())
    detail = f"{own:.1f} s against {other:.1f} s; {size} x {size} pixels, 70 dates, Zarr"
    return Row("NDVI and monthly median: time per time by hand", own / other, 1.3, detail)


def polygons(folder: Path, size: int, count: int) -> Row:
    """Mean of each polygon and date, against labels burnt once and `scipy.ndimage` for each block."""
    cube = _stored(folder, 20, size).isel(bands=0, drop=True)
    shapes = _fields(size, count)
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)} for s in shapes]
    crs = {"type": "name", "properties": {"name": CRS}}
    geometries = {"type": "FeatureCollection", "features": features, "crs": crs}
    nodes = {
        "load": _node("cube", cube={"from_parameter": "cube"}),
        "mean": _node("aggregate_spatial", data=_of("load"), geometries=geometries, reducer=_one("mean", data=_DATA)),
    }

    def by_hand() -> Any:
        zones = rasterio.features.rasterize(
            [(s, i + 1) for i, s in enumerate(shapes)], (size, size), transform=_box(size).affine, dtype="int32"
        )
        return _zonal_means(cube.data, zones, count)

    registry = _registry()
    ours = _run(nodes, registry, cube=cube).compute().values
    np.testing.assert_allclose(ours, by_hand(), rtol=1e-4)
    own, other = _compared(lambda: _run(nodes, registry, cube=cube).compute(), by_hand)
    detail = f"{own:.1f} s against {other:.1f} s, building included; {count} polygons, {size} x {size} pixels, 20 dates"
    return Row("aggregate_spatial: time per time by hand", own / other, 1.3, detail)


def _zonal_means(values: Any, zones: np.ndarray, count: int) -> np.ndarray:
    """Return (zone, date): sums and numbers of each block, then added up."""
    lazy = da.from_array(zones, chunks=values.chunks[1:])

    def sums(block: np.ndarray, zone: np.ndarray) -> np.ndarray:
        index, valid = np.arange(1, count + 1), ~np.isnan(block)
        filled = np.where(valid, block, 0)
        pairs = [(ndimage.sum(f, zone, index), ndimage.sum(v, zone, index)) for f, v in zip(filled, valid, strict=True)]
        return np.array(pairs)[None, None]

    parts = [
        dask.delayed(sums)(v, z) for v, z in zip(values.to_delayed().ravel(), lazy.to_delayed().ravel(), strict=True)
    ]
    total = sum(dask.compute(*parts))[0, 0]
    return (total[:, 0] / total[:, 1]).T


def _fields(size: int, count: int) -> list[Any]:
    """Return polygons in a grid, none of which touches another: octagons of different size."""
    side = int(np.ceil(np.sqrt(count)))
    step, random = size * 10 / side, np.random.default_rng(3)
    centres = [(WEST + (i % side + 0.5) * step, NORTH - (i // side + 0.5) * step) for i in range(count)]
    return [shapely.Point(c).buffer(step * random.uniform(0.2, 0.45), quad_segs=2) for c in centres]


def _stored(folder: Path, dates: int, size: int) -> xr.DataArray:
    """Write a cube in tiles that hold all dates, and open it lazily."""
    path = folder / f"{dates}-{size}.zarr"
    if not path.exists():
        random = da.random.default_rng(7)
        raw = random.integers(0, 4000, (dates, 2, size, size), dtype="uint16", chunks=(-1, -1, 256, 256))
        values = da.where(raw < 300, np.float32(np.nan), raw.astype("float32") / 10_000)
        _cube(dates, ("B04", "B08"), size, values=values).to_dataset(name="s2").to_zarr(path)
    return xr.open_zarr(path, chunks={})["s2"]


def _cube(
    dates: int, bands: tuple[str, ...], size: int, chunks: Any = (-1, -1, 256, 256), start: int = 0, step: int = 1,
    values: Any = None,
) -> xr.DataArray:  # fmt: skip
    """Return a lazy cube (t, bands, y, x): every five days, `start` hours after 10:20, pixels of 10 m times `step`."""
    t = (
        np.datetime64("2022-01-01T10:20", "ns")
        + start * np.timedelta64(1, "h")
        + np.arange(dates) * np.timedelta64(5, "D")
    )
    shape = (dates, len(bands), size, size)
    if values is None:
        values = da.zeros(shape, dtype="float32", chunks=chunks)
    coords = {"t": t, "bands": list(bands), **xr_coords(_box(size, step))}
    return xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)


def _box(size: int, step: int = 1) -> GeoBox:
    extent = size * step * 10
    return GeoBox.from_bbox((WEST, NORTH - extent, WEST + extent, NORTH), crs=CRS, resolution=10 * step)


def _tasks(cube: xr.DataArray) -> int:
    (optimised,) = dask.optimize(cube)
    return sum(not isinstance(task, Alias) for task in dict(optimised.__dask_graph__()).values())


def _compared(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Return the quickest of two runs of each, taken in turns."""
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(2)]
    return min(own for own, _ in pairs), min(other for _, other in pairs)


def _quickest(function: Callable[[], Any], times: int) -> float:
    return min(_seconds(function) for _ in range(times))


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _registry() -> ProcessRegistry:
    """Return the real registry, and in it `cube`: a process that returns the parameter of that name."""
    registry = build_registry()
    parameter = {"name": "cube", "description": "The cube.", "schema": {"type": "object", "subtype": "datacube"}}
    spec = {"id": "cube", "description": "It.", "parameters": [parameter], "returns": {"schema": parameter["schema"]}}
    registry["cube"] = Process(spec=spec, implementation=lambda cube: cube)
    return registry


def _run(nodes: Graph, registry: ProcessRegistry | None = None, **parameters: Any) -> xr.DataArray:
    *_, last = nodes
    graph = {**nodes, last: {**nodes[last], "result": True}}
    env: Any = Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), parameters=parameters)
    cube: xr.DataArray = evaluate(check_graph(graph), registry or _registry(), env)
    return cube


def _node(id: str, /, **arguments: Any) -> Graph:
    return {"process_id": id, "arguments": arguments}


def _of(name: str) -> Graph:
    return {"from_node": name}


def _one(id: str, /, **arguments: Any) -> Graph:
    return {"process_graph": {"one": {**_node(id, **arguments), "result": True}}}


_X, _DATA = {"from_parameter": "x"}, {"from_parameter": "data"}
_XY = [_X, {"from_parameter": "y"}]


def _table(rows: list[Row], small: bool, seconds: float) -> str:
    lines = [
        "# What the standard processes cost",
        "",
        f"`python -m benchmarks.processes{' --small' if small else ''}` on {this_machine()}; Python "
        f"{platform.python_version()}, Dask {dask.__version__}, xarray {xr.__version__}; it took {seconds:.0f} s.",
        "",
        "| | found | at most | |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row.value:.2f} | {row.limit:g} | {row.detail} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
