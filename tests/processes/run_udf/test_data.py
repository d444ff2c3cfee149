"""`run_udf` by itself: on whole cubes, vector cubes and plain data."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.vectors.cubes import make_cube
from tests.processes.graph.graphs import cube, one
from tests.processes.run_udf.support import (
    CHUNKS,
    CUBES,
    DATA,
    HEAD,
    SQUARE,
    A,
    Runner,
    code,
    done,
    same,
)
from tests.udf.inline import InlineSandboxes
from udf.rules import UserCodeRules


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
