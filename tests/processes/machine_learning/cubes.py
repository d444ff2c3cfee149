"""Small embedding-like cubes, training sites on them, and graphs evaluated without letting anything compute."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import odc.geo.xr
import xarray as xr
from odc.geo.geobox import GeoBox

from processes.environment import Environment, Ledger
from processes.graph import check_graph, evaluate
from processes.machine_learning.store import FolderStore
from processes.registry import build_registry
from tests.processes.graph.graphs import fake_process, flat, node, of, one, param, parameter

BANDS = ["F01", "F02", "F03", "F04"]
CHUNKINGS: list[dict[str, Any]] = [
    {"bands": -1, "y": -1, "x": -1},
    {"bands": 2, "y": 5, "x": (7, 6)},
    {"bands": 1, "y": (3, 9), "x": 4},
]
REGISTRY = build_registry()
for _name in ("cube", "value"):
    REGISTRY[_name] = fake_process(_name, lambda x: x, parameter("x"))


def embeddings(seed: int = 3, missing: float = 0.03) -> xr.DataArray:
    """Return (bands, y, x) float32 numbers of 12 x 13 pixels of 10 m in three vertical stripes; some are NaN."""
    rng = np.random.default_rng(seed)
    kind = stripes()
    centres = np.array([[0, 0, 1, 0.5], [3, 1, 0, 0.5], [0, 4, 2, 0.5]], np.float32)
    values = centres[kind].transpose(2, 0, 1) + rng.normal(0, 0.4, (4, 12, 13))
    values[:, rng.random((12, 13)) < missing] = np.nan
    values[2, 0, 0] = np.nan
    box = GeoBox.from_bbox((500000, 5699880, 500130, 5700000), "EPSG:32631", resolution=10)
    coords = {"bands": BANDS, **odc.geo.xr.xr_coords(box, dims=("y", "x"))}
    return xr.DataArray(values.astype(np.float32), dims=("bands", "y", "x"), coords=coords)


def stripes() -> np.ndarray:
    """Return which stripe a pixel is in, (y, x)."""
    return np.broadcast_to(np.repeat([0, 1, 2], [4, 5, 4]), (12, 13))


def sites(properties: Any = lambda kind: {"target": 10 * (kind + 1)}, count: int = 24) -> dict[str, Any]:
    """Return points at pixel centres in the cube's reference system; `properties` makes them from the stripe."""
    rng = np.random.default_rng(11)
    picked = rng.permutation(12 * 13)[:count]
    features = []
    for place in picked.tolist():
        row, column = divmod(place, 13)
        where = [500005.0 + 10 * column, 5699995.0 - 10 * row]
        kind = int(stripes()[row, column])
        features.append(
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": where}, "properties": properties(kind)}
        )
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    return {"type": "FeatureCollection", "crs": crs, "features": features}


def polygon(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """Return a rectangle in the cube's reference system as a feature collection."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    return {"type": "FeatureCollection", "crs": crs, "features": [feature]}


def environment(folder: Path | None = None, models: Any = None, **parameters: Any) -> Environment:
    """Return an environment whose user keeps models in `folder`."""
    return Environment(
        catalog=SimpleNamespace(),  # type: ignore[arg-type]
        models=models or SimpleNamespace(),
        parameters=parameters,
        ledger=Ledger(),
        ml_models=None if folder is None else FolderStore(folder),
    )


def build(env: Environment, **nodes: Any) -> Any:
    """Evaluate a graph whose last node is its result; computing is an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        return evaluate(check_graph(flat(**nodes)), REGISTRY, env)


def aggregated(geometries: Any) -> dict[str, Any]:
    """Return the node that takes the mean of the parameter `cube` at each geometry."""
    reducer = one("mean", data=param("data"))
    return node("aggregate_spatial", data=param("cube"), geometries=geometries, reducer=reducer)


def trained(geometries: Any, kind: str = "class", **more: Any) -> dict[str, Any]:
    """Return the nodes that train a forest of 20 trees on the parameter `cube`."""
    arguments = {"max_variables": "sqrt", "num_trees": 20, "seed": 5, "target": geometries, **more}
    fit = node(f"ml_fit_{kind}_random_forest", predictors=of("samples"), **arguments)
    return {"samples": aggregated(geometries), "model": fit}


def predicted(dimensions: tuple[str, ...] = ("bands",)) -> dict[str, Any]:
    """Return the node that runs `model` on the parameter `cube`."""
    return node("ml_predict", data=param("cube"), model=of("model"), dimensions=list(dimensions))


def lazy(cube: xr.DataArray, chunks: Any = None) -> xr.DataArray:
    """Return the cube in Dask blocks."""
    chunked = cube.chunk(chunks or CHUNKINGS[1])
    assert isinstance(chunked.data, da.Array)
    return chunked
