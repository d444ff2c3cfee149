"""What a request would cost, known before any work: bytes loaded and returned, embeddings, Dask tasks.

Loads are measured after culling: a cube of which the graph keeps one corner counts with the chunks of that corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import unpack_collections
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

from backend.metrics.speeds import BYTES, EMBEDDINGS, Speed
from backend.settings import Settings
from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.results import ResultFormat
    from processes.sources import Catalog, CollectionSource, LoadRequest

REMEDY = "Choose a smaller spatial extent, fewer dates or fewer bands."


@dataclass(frozen=True)
class Estimate:
    """The cost of one request; `cells` and `bytes` of cubes in memory.

    `pixels` are those of the largest cube that is loaded, `dates` how many there are in all of them. `embeddings` count
    by their work: one with quality as three.
    """

    loaded_cells: int
    loaded_bytes: int
    result_bytes: int
    embeddings: int
    tasks: int
    pixels: int = 0
    dates: int = 0

    def seconds(self, speeds: Mapping[str, Speed], threads: int) -> float:
        """Return how long this takes on a cluster with so many threads to itself, as fast as it has been."""
        work = {EMBEDDINGS: self.embeddings, BYTES: self.loaded_bytes}
        return sum(amount / speeds[kind].per_second(kind) for kind, amount in work.items()) / threads

    def __str__(self) -> str:
        """Return the estimate as users read it."""
        loaded, result = _size(self.loaded_bytes), _size(self.result_bytes)
        return f"{loaded} loaded, {_number(self.embeddings)} embeddings, {_number(self.tasks)} tasks, result {result}"


class MeteredCatalog:
    """A catalogue that remembers the cubes it handed out during one evaluation."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.cubes: list[xr.DataArray] = []

    def get(self, collection_id: str, /) -> CollectionSource:
        """Return the collection of that id; what it loads is remembered."""
        return _MeteredSource(self._catalog.get(collection_id), self.cubes)

    def ids(self) -> list[str]:
        """Return the ids of all collections."""
        return self._catalog.ids()


class _MeteredSource:
    def __init__(self, source: CollectionSource, cubes: list[xr.DataArray]) -> None:
        self._source = source
        self._cubes = cubes
        self.id = source.id

    def metadata(self) -> dict[str, Any]:
        return self._source.metadata()

    def properties(self) -> dict[str, dict[str, Any]]:
        return self._source.properties()

    def check(self) -> list[str]:
        return self._source.check()

    def load(self, request: LoadRequest) -> xr.DataArray:
        cube = self._source.load(request)
        self._cubes.append(cube)
        return cube


def estimate(value: Any, cubes: Iterable[xr.DataArray], embeddings: int) -> Estimate:
    """Estimate the cost of computing `value` from the lazy `cubes` that were loaded for it."""
    collections, _ = unpack_collections(value)
    tasks = _needed_tasks(collections)
    loads = {_name(cube): cube for cube in cubes}
    cells = _loaded_cells(tasks, {name: cube for name, cube in loads.items() if cube.chunks is not None})
    cells |= {name: cube.size for name, cube in loads.items() if cube.chunks is None}  # in memory already
    size = sum(cells[name] * cube.dtype.itemsize for name, cube in loads.items())
    result = sum(int(item.nbytes) for item in collections if isinstance(item, xr.DataArray | xr.Dataset | da.Array))
    pixels, dates = _extent(loads.values())
    return Estimate(sum(cells.values()), size, result, embeddings, len(tasks), pixels, dates)


def check_estimate(cost: Estimate, settings: Settings) -> None:
    """Refuse what is too much for a synchronous request; OpenEOError ProcessGraphComplexity says what and how far."""
    limits = (
        ("load {} of data", cost.loaded_bytes, settings.sync_bytes, _size),
        ("return {} of data", cost.result_bytes, settings.sync_result_bytes, _size),
        (
            "compute {} embeddings (pixels x dates, three for one with quality)",
            cost.embeddings,
            settings.sync_embeddings,
            _number,
        ),
        ("run {} Dask tasks", cost.tasks, settings.sync_tasks, _number),
    )
    _check("synchronous request", limits)


def check_job(cost: Estimate, settings: Settings, form: ResultFormat) -> None:
    """Refuse what is too much for a batch job, which has time: only what must fit into memory at once counts."""
    if not form.copies and cost.result_bytes > settings.job_result_bytes:
        message = (
            f"The process would return {_size(cost.result_bytes)} of data as {form.name}, which is put together in "
            f"memory; a batch job may have {_size(settings.job_result_bytes)} (OPENEO_EMBED_JOB_RESULT_BYTES). "
            f"Raster cubes that are saved as GTiff or netCDF have no such limit. {REMEDY}"
        )
        raise OpenEOError("ProcessGraphComplexity", message)
    _check("batch job", [("run {} Dask tasks", cost.tasks, settings.job_tasks, _number)])


def _check(kind: str, limits: Iterable[tuple[str, int, int, Callable[[float], str]]]) -> None:
    for phrase, amount, limit, write in limits:
        if amount > limit:
            what = phrase.format(write(amount))
            message = f"The process would {what}; a {kind} may have {write(limit)}. {REMEDY}"
            raise OpenEOError("ProcessGraphComplexity", message)


def _extent(cubes: Iterable[xr.DataArray]) -> tuple[int, int]:
    """Return the pixels of the largest cube, and how many dates there are in all of them."""
    pixels, dates = 0, set[Any]()
    for cube in cubes:
        pixels = max(pixels, cube.sizes.get("y", 0) * cube.sizes.get("x", 0))
        if "t" in cube.coords:
            dates.update(np.ravel(cube["t"].values).tolist())
    return pixels, len(dates)


def _needed_tasks(collections: Iterable[Any]) -> dict[Any, Any]:
    """Return all tasks that the collections need."""
    graphs, keys = [], []
    for item in collections:
        graph = item.__dask_graph__()
        if not isinstance(graph, HighLevelGraph):
            graph = HighLevelGraph({f"collection-{id(item)}": graph}, {f"collection-{id(item)}": set()})
        graphs.append(graph)
        keys.extend(flatten(item.__dask_keys__()))
    return dict(HighLevelGraph.merge(*graphs).cull(set(keys))) if graphs else {}


def _loaded_cells(tasks: Mapping[Any, Any], cubes: Mapping[str, xr.DataArray]) -> dict[str, int]:
    """Return how many cells of each cube are loaded.

    Dask may have fused the loading of a block into what follows; such a task counts as one block of middling size.
    """
    cells = dict.fromkeys(cubes, 0)
    for key, task in tasks.items():
        if isinstance(key, tuple) and key[0] in cubes:
            cells[key[0]] += _block_cells(cubes[key[0]], key[1:])
        else:
            for name in _names_within(task) & cubes.keys():
                cells[name] += cubes[name].size // math.prod(cubes[name].data.numblocks)
    return {name: min(count, cubes[name].size) for name, count in cells.items()}


def _block_cells(cube: xr.DataArray, block: tuple[int, ...]) -> int:
    assert cube.chunks is not None
    return math.prod(cube.chunks[axis][index] for axis, index in enumerate(block))


def _names_within(task: Any) -> set[str]:
    """Return the names of the arrays whose blocks a task computes inside of itself."""
    found: set[str] = set()
    waiting = [task]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
            found.update(name for key in item if isinstance(name := key[0] if isinstance(key, tuple) else key, str))
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif hasattr(item, "dependencies"):  # a task of the graph within
            waiting.extend([getattr(item, "args", ()), getattr(item, "kwargs", None) or {}])
    return found


def _name(cube: xr.DataArray) -> str:
    return str(getattr(cube.data, "name", id(cube)))


def _size(amount: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:,.3g} GiB" if amount < 1024 else f"{amount:,.0f} GiB"


def _number(amount: float) -> str:
    return f"{amount:,.0f}"
