"""`run_udf` in every process that takes a callback, with every entry point, against the processes of the specification.

The guest runs in this process: what isolates it has tests of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import cube, node, of, one
from tests.processes.run_udf.support import (
    CHUNKS,
    CUBES,
    DATA,
    ENTRIES,
    SQUARE,
    A,
    Runner,
    code,
    done,
    same,
    udf,
)
from tests.udf.inline import InlineSandboxes
from udf.rules import UserCodeRules


@pytest.mark.parametrize("entry", ENTRIES)
def test_apply(run: Runner, entry: str) -> None:
    source = code(entry, "cube * context['factor']", "series * context['factor']")
    made = run("apply", cube(A, CHUNKS), process=udf(source, "x", context={"factor": 3}))
    same(made, cube(A) * 3)
    assert made.dtype == np.float32


@pytest.mark.parametrize("entry", ENTRIES)
def test_reduce_dimension(run: Runner, entry: str) -> None:
    source = code(entry, "cube.max('t')", "series.max()")
    made = run("reduce_dimension", cube(A, CHUNKS), dimension="t", reducer=udf(source))
    same(made, run("reduce_dimension", cube(A, CHUNKS), dimension="t", reducer=one("max", data=DATA)))


@pytest.mark.parametrize("entry", CUBES)
def test_reduce_bands_by_their_labels(run: Runner, entry: str) -> None:
    made = run(
        "reduce_dimension",
        cube(A, CHUNKS),
        dimension="bands",
        reducer=udf(code(entry, "cube.sel(bands='B02') - cube.sel(bands='B01')")),
    )
    same(made, (cube(A).sel(bands="B02") - cube(A).sel(bands="B01")).drop_vars("bands", errors="ignore"))


@pytest.mark.parametrize("entry", ENTRIES)
def test_apply_dimension_of_the_same_length(run: Runner, entry: str) -> None:
    source = code(entry, "cube.fillna(0).cumsum('t').assign_coords(t=cube.t)", "series.fillna(0).cumsum()")
    made = run("apply_dimension", cube(A, CHUNKS), dimension="t", process=udf(source))
    same(made, cube(A).fillna(0).cumsum("t").assign_coords(t=cube(A).t))


@pytest.mark.parametrize("entry", CUBES)
def test_apply_dimension_finds_out_the_new_labels(run: Runner, entry: str, sandboxes: InlineSandboxes) -> None:
    both = "xarray.concat([cube.max('bands'), cube.min('bands')], 'bands')"
    source = code(entry, both + ".assign_coords(bands=['a', 'b'])")
    made = run("apply_dimension", cube(A, CHUNKS), dimension="bands", process=udf(source))
    assert made.sizes == {"t": 6, "bands": 2, "y": 8, "x": 10}
    assert made["bands"].values.tolist() == ["a", "b"]
    assert len(sandboxes.requests) == 1  # the trial, of a few pixels
    np.testing.assert_array_equal(done(made).sel(bands="b").values, cube(A).min("bands").values)


def test_apply_dimension_without_labels_counts(run: Runner) -> None:
    source = code("data_array", "xarray.concat([cube.max('t'), cube.min('t')], 't')")
    made = run("apply_dimension", cube(A, CHUNKS), dimension="t", process=udf(source))
    assert made["t"].values.tolist() == [0, 1]
    source = code("data_array", "xarray.concat([cube.max('t'), cube.min('t')], 'minmax')")
    made = run("apply_dimension", cube(A, CHUNKS), dimension="t", target_dimension="ends", process=udf(source))
    assert made.sizes == {"ends": 2, "bands": 3, "y": 8, "x": 10}
    assert np.isfinite(done(made)).any()


METADATA = """
def apply_metadata(metadata, context):
    return metadata.rename_labels(dimension="{dim}", target={labels})
"""


@pytest.mark.parametrize(
    ("dim", "labels"), [("bands", ["high", "low"]), ("t", ["2022-01-01", "2022-07-01"])], ids=["bands", "t"]
)
def test_apply_metadata_gives_the_labels(run: Runner, sandboxes: InlineSandboxes, dim: str, labels: list[str]) -> None:
    source = code("data_array", f"xarray.concat([cube.max('{dim}'), cube.min('{dim}')], '{dim}')")
    source += METADATA.format(dim=dim, labels=labels)
    made = run("apply_dimension", cube(A, CHUNKS), dimension=dim, process=udf(source))
    told = made[dim].values
    assert (told.tolist() if dim == "bands" else told.astype("datetime64[D]").astype(str).tolist()) == labels
    assert [request["do"] for request in sandboxes.requests] == ["metadata"]
    np.testing.assert_array_equal(done(made).isel({dim: 0}).values, cube(A).max(dim).values)


@pytest.mark.parametrize("entry", CUBES)
def test_apply_neighborhood(run: Runner, entry: str) -> None:
    size = [{"dimension": "x", "value": 4, "unit": "px"}, {"dimension": "y", "value": 4, "unit": "px"}]
    overlap = [{"dimension": "x", "value": 1, "unit": "px"}, {"dimension": "y", "value": 2, "unit": "px"}]
    source = code(entry, "(cube * 0 + cube.sizes['x'] * 100 + cube.sizes['y']).transpose('x', ...)")
    made = run("apply_neighborhood", cube(A, CHUNKS), size=size, overlap=overlap, process=udf(source))
    expected = cube(A) * 0 + 608
    expected[..., 8:] = expected[..., 8:] * 0 + 408  # the last window has two columns
    same(made, expected)


@pytest.mark.parametrize("entry", ENTRIES)
def test_apply_neighborhood_along_time(run: Runner, entry: str) -> None:
    size = [{"dimension": "x", "value": 1, "unit": "px"}, {"dimension": "y", "value": 1, "unit": "px"}]
    size.append({"dimension": "bands", "value": 1, "unit": "px"})
    source = code(entry, "cube - cube.mean('t')", "series - series.mean()")
    made = run("apply_neighborhood", cube(A, CHUNKS), size=size, process=udf(source))
    same(made, cube(A) - cube(A).mean("t"))


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("process", ["aggregate_temporal", "aggregate_temporal_period"])
def test_temporal_aggregations(run: Runner, entry: str, process: str) -> None:
    how: dict[str, Any] = {"period": "month"}
    if process == "aggregate_temporal":
        how = {"intervals": [["2022-01-01", "2022-02-01"], ["2022-02-01", "2022-03-01"]]}
    source = code(entry, "cube.isel(t=0, drop=True) + len(cube.t)", "series.iloc[0] + len(series)")
    made = run(process, cube(A, CHUNKS), reducer=udf(source), **how)
    first = run(process, cube(A, CHUNKS), reducer=one("array_element", data=DATA, index=0), **how)
    same(made, first + 3)


@pytest.mark.parametrize("entry", CUBES)
def test_aggregate_spatial(run: Runner, entry: str) -> None:
    source = code(entry, "cube.where(cube.x > 500_010).max('pixels')")
    made = run("aggregate_spatial", cube(A, CHUNKS), geometries=SQUARE, reducer=udf(source))
    right = cube(A).where(cube(A).x > 500_010)
    same(made, run("aggregate_spatial", right, geometries=SQUARE, reducer=one("max", data=DATA)))


@pytest.mark.parametrize("entry", CUBES)
def test_aggregate_spatial_window(run: Runner, entry: str) -> None:
    source = code(entry, "cube.max('pixels') + cube.y * 0")
    made = run("aggregate_spatial_window", cube(A, CHUNKS), size=[5, 4], reducer=udf(source))
    same(made, run("aggregate_spatial_window", cube(A, CHUNKS), size=[5, 4], reducer=one("max", data=DATA)))


@pytest.mark.parametrize("chunks", [CHUNKS, (6, 3, 8, 10)], ids=["blocks", "one"])
def test_reduce_spatial_knows_where_pixels_are(run: Runner, chunks: tuple[int, ...]) -> None:
    source = code("data_array", "cube.where((cube.x > 500_050) & (cube.y < 5_649_960)).max('pixels')")
    made = run("reduce_spatial", cube(A, chunks), reducer=udf(source))
    same(made, cube(A)[..., 4:, 5:].max(["y", "x"]))


def test_apply_polygon(run: Runner) -> None:
    source = code("data_array", "cube * 0 + cube.notnull().sum()")
    made = done(run("apply_polygon", cube(np.ones_like(A), CHUNKS), geometries=SQUARE, process=udf(source)))
    inside = int(made.notnull().sum())
    assert inside
    assert np.unique(made.values[~np.isnan(made.values)]).tolist() == [inside]


def test_between_other_processes_of_a_callback(run: Runner) -> None:
    source = code("data_array", "cube.cumsum('t').assign_coords(t=cube.t)")
    whole = {
        "twice": node("multiply", x=DATA, y=2),
        "udf": node("run_udf", data=of("twice"), udf=source, runtime="Python"),
        "last": {**node("array_element", data=of("udf"), index=5), "result": True},
    }
    filled = cube(A, CHUNKS).fillna(0)
    made = run("reduce_dimension", filled, dimension="t", reducer={"process_graph": whole})
    same(made, (filled * 2).sum("t"))


def test_blocks_have_all_of_the_dimension_and_all_bands(run: Runner, sandboxes: InlineSandboxes) -> None:
    made = run("reduce_dimension", cube(A, CHUNKS), dimension="t", reducer=udf(code("data_array", "cube.max('t')")))
    done(made)
    shapes = {tuple(len(c["data"]) for c in request["cube"]["coords"]) for request in sandboxes.requests}
    assert len(sandboxes.requests) == 4  # blocks of pixels, not pixels
    assert shapes == {(6, 3, 4, 5)}


def test_too_large_blocks_are_cut(registry: ProcessRegistry, sandboxes: InlineSandboxes) -> None:
    rules = UserCodeRules(memory=8 * 6 * 3 * 4 * 10)  # an eighth of it holds ten pixels
    run = Runner(registry, rules)
    source = code("data_array", "cube.max('t')")
    made = run("reduce_dimension", cube(A, A.shape), dimension="t", reducer=udf(source))
    same(made, cube(A).max("t"))
    assert len(sandboxes.requests) >= 8
    with pytest.raises(OpenEOError, match="all of t") as refused:
        Runner(registry, UserCodeRules(memory=64))(
            "reduce_dimension", cube(A, A.shape), dimension="t", reducer=udf(source)
        )
    assert refused.value.code == "ProcessGraphComplexity"


# Outside of callbacks.
