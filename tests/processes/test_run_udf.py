"""`run_udf` in every process that takes a callback, with every entry point, against the processes of the specification.

The guest runs in this process: what isolates it has tests of its own.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr

from processes.environment import Environment
from processes.errors import OpenEOError
from processes.fetch import FetchRules
from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.vectors.cubes import make_cube
from tests.processes.graph.graphs import cube, environment, flat, node, of, one, param, values
from tests.processes.site import Site, serve
from tests.udf.inline import InlineSandboxes
from udf.rules import UserCodeRules
from udf.user_code import UserCodeError

A = values(6, 3, 8, 10)
CHUNKS = (2, 2, 4, 5)
HEAD = "import xarray\nfrom openeo.udf import UdfData, XarrayDataCube\n"
ENTRIES = {
    "data_array": HEAD
    + "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n    return {array}\n",
    "wrapped": HEAD
    + "def apply_datacube(cube: XarrayDataCube, context: dict) -> XarrayDataCube:\n"
    + "    cube = cube.get_array()\n    return XarrayDataCube({array})\n",
    "udf_data": HEAD
    + "def apply_udf_data(data: UdfData):\n    context = data.user_context\n"
    + "    cube = data.get_datacube_list()[0].get_array()\n    data.set_datacube_list([XarrayDataCube({array})])\n",
    "generic": HEAD
    + "def any_name(data: UdfData) -> UdfData:\n    context = data.user_context\n"
    + "    cube = data.datacube_list[0].array\n    return UdfData(datacube_list=[XarrayDataCube({array})])\n",
    "series": "import pandas\ndef apply_timeseries(series: pandas.Series, context: dict) -> pandas.Series:\n"
    "    assert isinstance(series.index, pandas.DatetimeIndex)\n    return {series}\n",
}
CUBES = [name for name in ENTRIES if name != "series"]
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[500_000, 5_649_930], [500_040, 5_649_930], [500_040, 5_649_990], [500_000, 5_649_930]]],
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
}
DATA = param("data")


@pytest.fixture
def sandboxes(monkeypatch: pytest.MonkeyPatch) -> InlineSandboxes:
    """Sandboxes that isolate nothing, in place of the real ones."""
    opened = InlineSandboxes()
    monkeypatch.setattr("udf.isolation.open_sandbox", opened)
    return opened


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    from processes.registry import build_registry
    from tests.processes.graph.graphs import fake_process, parameter

    made = build_registry()
    made["cube"] = fake_process("cube", lambda cube: cube, parameter("cube"))
    return made


def code(entry: str, array: str, series: str = "series") -> str:
    return ENTRIES[entry].format(array=array, series=series)


def udf(source: str, name: str = "data", **more: Any) -> dict[str, Any]:
    return one("run_udf", data=param(name), udf=source, runtime="Python", **more)


class Runner:
    """Evaluates one process on a cube, as the server does."""

    def __init__(self, registry: ProcessRegistry, rules: UserCodeRules | None = None, **env: Any) -> None:
        self._registry = registry
        self.env: Environment = replace(environment(), udf=rules or UserCodeRules(), **env)

    def __call__(self, id: str, data: Any, **arguments: Any) -> Any:
        """Return the lazy value; nothing may be computed meanwhile."""
        graph = flat(cube=node("cube", cube=param("cube")), made=node(id, data=of("cube"), **arguments))
        env = replace(self.env, parameters={"cube": data})
        with refusing_to_compute():
            return evaluate(check_graph(graph), self._registry, env)


@contextmanager
def refusing_to_compute() -> Iterator[None]:
    def refuse(graph: Any, keys: Any, **_: Any) -> Any:
        raise AssertionError(f"computed {keys!r:.100} while the graph was built")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture
def run(registry: ProcessRegistry, sandboxes: InlineSandboxes) -> Runner:
    return Runner(registry)


def done(lazy: Any) -> Any:
    return dask.compute(lazy, scheduler="sync")[0]


def same(made: Any, expected: Any) -> None:
    """Compare with another cube: values, order and names of dimensions, labels."""
    made, expected = done(made), done(expected)
    assert made.dims == expected.dims
    np.testing.assert_allclose(made.values, expected.values, rtol=1e-6)
    for dim in expected.dims:
        if dim != "geometry":
            np.testing.assert_array_equal(made[dim].values, expected[dim].values)


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


@pytest.mark.parametrize("entry", CUBES)
def test_a_whole_cube(run: Runner, entry: str) -> None:
    source = code(entry, "cube.mean(['y', 'x'])")
    made = run("run_udf", cube(A, CHUNKS), udf=source, runtime="Python")
    same(made, cube(A).mean(["y", "x"]).drop_vars("spatial_ref"))


def test_a_whole_cube_with_a_new_dimension(run: Runner) -> None:
    source = code("data_array", "cube.max('t').expand_dims(kind=['max']).transpose('y', ...)")
    made = run("run_udf", cube(A, CHUNKS), udf=source, runtime="Python")
    assert made.dims == ("y", "kind", "bands", "x")
    np.testing.assert_array_equal(done(made).sel(kind="max").transpose("bands", "y", "x").values, np.nanmax(A, 0))


def test_a_cube_that_becomes_plain_data(run: Runner) -> None:
    source = HEAD + (
        "from openeo.udf import StructuredData\ndef apply_udf_data(data: UdfData):\n"
        "    cube = data.get_datacube_list()[0].get_array()\n"
        "    data.set_structured_data_list([StructuredData({'most': float(cube.max()), 'epsg': data.proj['EPSG']})])\n"
    )
    made = run("run_udf", cube(A, CHUNKS), udf=source, runtime="Python")
    assert done(made) == {"most": pytest.approx(float(np.nanmax(A))), "epsg": 32631}


def test_a_cube_that_is_too_large(registry: ProcessRegistry, sandboxes: InlineSandboxes) -> None:
    run = Runner(registry, UserCodeRules(memory=A.nbytes * 8 - 8))
    with pytest.raises(OpenEOError, match="apply_neighborhood") as refused:
        run("run_udf", cube(A, CHUNKS), udf=code("data_array", "cube"), runtime="Python")
    assert refused.value.code == "ProcessGraphComplexity"


def test_pixels_may_not_become_others(run: Runner) -> None:
    with pytest.raises(OpenEOError, match="number of pixels along 'y'"):
        run("run_udf", cube(A, CHUNKS), udf=code("data_array", "cube[..., ::2, :]"), runtime="Python")


def test_plain_data(run: Runner) -> None:
    source = (
        "from openeo.udf import StructuredData, UdfData\n"
        "def apply_udf_data(data: UdfData):\n    numbers = data.get_structured_data_list()[0].data\n"
        "    data.set_structured_data_list([StructuredData([n * data.user_context['by'] for n in numbers])])\n"
    )
    assert run("run_udf", [1, 2, 3], udf=source, runtime="Python", context={"by": 10}) == [10, 20, 30]


def _fields(lazy: bool) -> xr.DataArray:
    shapes = [shapely.box(i, 0, i + 1, 1) for i in range(3)]
    made = make_cube(
        shapes,
        "EPSG:4326",
        {"name": ["a", "b", "c"], "area": [1.5, 2.5, 3.5]},
        np.arange(6, dtype=np.float32).reshape(3, 2),
        {"bands": ["B04", "B08"]},
    )
    return made.copy(data=da.from_array(made.values)) if lazy else made


@pytest.mark.parametrize("lazy", [True, False])
def test_apply_vectorcube(run: Runner, lazy: bool) -> None:
    source = (
        "def apply_vectorcube(geometries, cube, context):\n"
        "    assert list(geometries['name']) == ['a', 'b', 'c'] and list(cube.geometry.values) == [0, 1, 2]\n"
        "    geometries = geometries[geometries['area'] > 2].assign(double=geometries['area'] * 2)\n"
        "    return geometries, cube.sel(geometry=geometries.index).sum('bands')\n"
    )
    made = run("run_udf", _fields(lazy), udf=source, runtime="Python")
    assert made.dims == ("geometry",)
    assert made["double"].values.tolist() == [5, 7]
    assert made["name"].values.tolist() == ["b", "c"]
    assert [shape.bounds[0] for shape in made["geometry"].values] == [1, 2]
    assert made.xindexes["geometry"].crs.to_epsg() == 4326
    np.testing.assert_array_equal(done(made).values, [5, 9])


def test_apply_udf_data_with_features(run: Runner) -> None:
    source = (
        "from openeo.udf import UdfData, FeatureCollection\ndef apply_udf_data(data: UdfData):\n"
        "    frame = data.get_feature_collection_list()[0].data\n"
        "    data.set_feature_collection_list([FeatureCollection('out', frame.assign(km=frame.bounds.maxy))])\n"
    )
    made = run("run_udf", _fields(True), udf=source, runtime="Python")
    assert made.dims == ("geometry", "bands")
    assert made["km"].values.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(done(made).values, np.arange(6).reshape(3, 2))


def test_after_aggregate_spatial(run: Runner, registry: ProcessRegistry) -> None:
    """What the openEO client's `VectorCube.run_udf` makes."""
    zones = run("aggregate_spatial", cube(A, CHUNKS), geometries=SQUARE, reducer=one("mean", data=DATA))
    made = run("run_udf", zones, udf=code("data_array", "cube.max('t')"), runtime="Python")
    assert made.dims == ("geometry", "bands")
    np.testing.assert_allclose(done(made).values, done(zones).max("t").values, rtol=1e-6)


# Failures.


def test_failures_in_tasks_name_the_users_line(run: Runner) -> None:
    source = code("data_array", "cube / context['nothing']")
    made = run("apply", cube(A, CHUNKS), process=udf(source, "x"))
    with pytest.raises(UserCodeError, match=r"KeyError: 'nothing' \(line 4, in apply_datacube\)") as failed:
        done(made)
    assert "    return cube / context['nothing']" in failed.value.trace


def test_failures_of_a_trial_are_told_and_only_that(run: Runner) -> None:
    source = code("data_array", "cube if cube.x.size > 5 else 1 / 0")
    whole = cube(A, A.shape)
    made = run("apply_dimension", whole, dimension="bands", process=udf(source))
    same(made, whole)
    (entry,) = run.env.ledger.messages
    assert "ZeroDivisionError" in entry["message"]
    assert entry["level"] == "info"


def test_what_a_callback_must_not_return(run: Runner) -> None:
    made = run("apply", cube(A, CHUNKS), process=udf(code("data_array", "cube.max('t')"), "x"))
    with pytest.raises(UserCodeError, match="where t 2 x bands 3 x y 4 x x 5 was expected"):
        done(made)
    with pytest.raises(OpenEOError, match="only 'bands' may change"):
        run("apply_dimension", cube(A, CHUNKS), dimension="bands", process=udf(code("data_array", "cube.max('t')")))


def test_labels_that_depend_on_values(run: Runner) -> None:
    array = "cube.assign_coords(bands=[f'{float(cube.max()):.6f}{i}' for i in range(3)])"
    made = run("apply_dimension", cube(A, CHUNKS), dimension="bands", process=udf(code("data_array", array)))
    with pytest.raises(UserCodeError, match="define apply_metadata"):
        done(made)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"runtime": "R"}, "InvalidRuntime"),
        ({"version": "2.7"}, "InvalidVersion"),
        ({"udf": "code/none.py"}, "FileNotFound"),
        ({"udf": "http://10.0.0.1/a.py"}, "ProcessParameterInvalid"),
        ({"udf": "# empty\n"}, "ProcessParameterInvalid"),
        ({"udf": "def apply_datacube(cube\n"}, "ProcessParameterInvalid"),
        ({"udf": "# /// script\n# dependencies = ['tinyudf']\n# ///\n"}, "ProcessParameterInvalid"),
    ],
)
def test_wrong_arguments(run: Runner, change: Mapping[str, Any], error: str) -> None:
    arguments = {"udf": "def apply_udf_data(data):\n    pass\n", "runtime": "python", **change}
    with pytest.raises(OpenEOError) as refused:
        run("run_udf", [1], **arguments)
    assert refused.value.code == error


@pytest.mark.parametrize("version", [None, "3", ".".join(platform.python_version_tuple()[:2])])
def test_versions(run: Runner, version: str | None) -> None:
    source = code("data_array", "cube + 1")
    made = run("apply", cube(A, CHUNKS), process=udf(source, "x", version=version))
    same(made, cube(A) + 1)


@pytest.mark.parametrize("rules", [None, UserCodeRules(refused="because.")])
def test_a_server_that_runs_no_code(registry: ProcessRegistry, rules: UserCodeRules | None) -> None:
    run = Runner(registry)
    run.env = replace(run.env, udf=rules)
    with pytest.raises(OpenEOError, match="off") as refused:
        run("run_udf", [1], udf="a\n", runtime="Python")
    assert (refused.value.code, refused.value.status) == ("FeatureUnsupported", 501)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def test_code_at_a_url(registry: ProcessRegistry, sandboxes: InlineSandboxes, site: Site) -> None:
    double = site.add("/udf/double.py", code("data_array", "cube * 2").encode())
    large = site.add("/udf/large.py", b"#" * 2000)
    rules = UserCodeRules(code_bytes=1000)
    run = Runner(registry, rules, fetch=FetchRules(hosts=(f"localhost:{site.port}",)))
    made = run("apply", cube(A, CHUNKS), process=udf(double, "x"))
    same(made, cube(A) * 2)
    with pytest.raises(OpenEOError, match="more than 1000 bytes"):
        run("apply", cube(A, CHUNKS), process=udf(large, "x"))


def test_messages_of_plain_calls_are_in_the_log(run: Runner) -> None:
    source = "from openeo.udf import inspect\ndef apply_udf_data(data):\n    inspect([1], 'look', level='error')\n"
    run("run_udf", [1], udf=source, runtime="Python")
    said = {"level": "error", "code": "User", "message": "look", "data": [1]}
    assert run.env.ledger.messages == [said]
