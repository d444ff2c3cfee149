"""A process gives the same for a list, a NumPy cube and a Dask cube in any chunks; `process_table` has the cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.graph.schema import CUBES, subtypes
from tests.examples import examples
from tests.processes.graph.graphs import cube_registry, environment, flat, node, of
from tests.properties.process_table import CASES, EXCUSED, Case

ELEMENTS: dict[str, list[Any]] = {
    "float": [np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, 2.5, -3.75, 0.5, 100.0],
    "int16": [-300, -2, -1, 0, 1, 2, 3, 200, 300],
    "uint8": [0, 1, 2, 3, 200, 255],
    "bool": [True, False],
    "truth": [1.0, 0.0, np.nan],
    "U1": ["a", "A", "b", ""],
}
# What runs a callback on a cube, and the name of its parameter for it.
OUTER = {"each": ("apply", "process"), "one": ("reduce_dimension", "reducer"), "array": ("apply_dimension", "process")}
MOST = 5
BY_ID: dict[str, list[Case]] = defaultdict(list)
for case in CASES:
    BY_ID[case.id].append(case)


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return cube_registry()


def test_every_process_is_in_the_table_or_excused(registry: ProcessRegistry) -> None:
    ids = {id for _, id in registry if id != "cube" and not _is_about_cubes(registry[id].spec)}
    assert ids == set(BY_ID) | set(EXCUSED)
    assert not set(BY_ID) & set(EXCUSED)


def _is_about_cubes(spec: dict[str, Any]) -> bool:
    schemas = [parameter["schema"] for parameter in spec["parameters"]] + [spec["returns"]["schema"]]
    return any(set(CUBES) & subtypes(schema) for schema in schemas)


@st.composite
def cubes(draw: st.DrawFn, kind: str, least: int) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return a cube (t, y, x) in memory, and chunks for it."""
    shape = (draw(st.integers(least, MOST)), draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    elements = ELEMENTS.get(kind) or ELEMENTS["float"]
    dtype = "float32" if kind == "truth" else kind
    picks = draw(st.lists(st.integers(0, len(elements) - 1), min_size=MOST * 6, max_size=MOST * 6))
    values = np.array([elements[i] for i in picks][: np.prod(shape)], dtype=dtype).reshape(shape)
    coords = {"t": np.arange(shape[0]), "y": -np.arange(shape[1], dtype=float), "x": np.arange(shape[2], dtype=float)}
    return xr.DataArray(values, dims=("t", "y", "x"), coords=coords), {
        dim: draw(st.sampled_from([1, 2, (1, size - 1), size] if size > 1 else [size]))
        for dim, size in zip("tyx", shape, strict=True)
    }


@pytest.mark.parametrize("id", sorted(BY_ID))
def test_lists_numpy_and_dask_agree(registry: ProcessRegistry, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(
        max_examples=examples(max(10, 4 * len(BY_ID[id]))),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(BY_ID[id]))
        kind = data.draw(st.sampled_from(case.kinds))
        cube, chunks = data.draw(cubes(kind, case.least))
        null = data.draw(st.sampled_from([None, np.nan] if case.null else [np.nan]))
        whole = _on_cube(registry, case, cube).compute()
        chunked = _on_cube(registry, case, cube.chunk(chunks))
        assert chunked.chunks is not None
        assert chunked.dtype == chunked.compute().dtype == whole.dtype
        assert chunked.dims == whole.dims
        _same(chunked.values, whole.values, exactly=False)
        for pixel, expected in _on_lists(registry, case, cube, _plain(kind, null)):
            _as_the_list(whole.isel(pixel), expected, case)

    agree()


def _on_cube(registry: ProcessRegistry, case: Case, cube: xr.DataArray) -> xr.DataArray:
    outer, name = OUTER[case.shape]
    more = {} if case.shape == "each" else {"dimension": "t"}
    graph = flat(load=node("cube", cube=cube_parameter), made=node(outer, data=of("load"), **more, **{name: _of(case)}))
    return evaluate(check_graph(graph), registry, environment(cube=cube))


cube_parameter = {"from_parameter": "cube"}


def _of(case: Case) -> dict[str, Any]:
    return {"process_graph": case.graph}


def _on_lists(
    registry: ProcessRegistry, case: Case, cube: xr.DataArray, plain: Callable[[Any], Any]
) -> Iterator[tuple[dict[str, int], Any]]:
    """Yield what the callback gives for the values of each pixel."""
    graph = check_graph(case.graph)
    for y, x in np.ndindex(cube.shape[1:]):
        values = [plain(value) for value in cube.values[:, y, x].tolist()]
        if case.shape == "each":
            made = [evaluate(graph, registry, environment(x=value)) for value in values]
        else:
            made = evaluate(graph, registry, environment(data=values))
        yield {"y": y, "x": x}, made


def _plain(kind: str, null: Any) -> Callable[[Any], Any]:
    """Return how a value of a cube is written in a list."""
    return lambda value: (
        (None if kind == "truth" else null) if value != value else value == 1 if kind == "truth" else value
    )


def _as_the_list(pixel: xr.DataArray, expected: Any, case: Case) -> None:
    found, wanted = np.atleast_1d(pixel.values), expected if isinstance(expected, list) else [expected]
    if found.dtype.kind == "U":
        wanted = ["nan" if item is None else item for item in wanted]
        assert found.tolist() == wanted
        return
    wanted = np.array([np.nan if item is None else float(item) for item in wanted], float)
    if case.masks == "place":
        found, wanted = found[~np.isnan(found)], wanted[~np.isnan(wanted)]
    if case.masks == "end":
        wanted = np.concatenate([wanted, np.full(len(found) - len(wanted), np.nan)])
    _same(found, wanted, exactly=False)


def _same(found: np.ndarray, wanted: np.ndarray, exactly: bool) -> None:
    assert found.shape == wanted.shape
    if found.dtype.kind == "U":
        assert (found == wanted).all()
        return
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):
            wanted = wanted.astype(found.dtype)
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=0 if exactly else 2e-6, atol=1e-12)
