"""The guest's side of users' code: entry points, messages, failures, what travels."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from udf.guest import handle
from udf.guest.cubes import PackError, pack, unpack
from udf.guest.features import pack_features, unpack_features
from udf.guest.messages import MOST, forwarded

CUBE = xr.DataArray(
    np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    dims=("t", "bands", "y", "x"),
    coords={
        "t": np.array(["2022-01-01", "2022-01-11"], "datetime64[ns]"),
        "bands": ["a", "b", "c"],
        "y": [50.5, 40.25],
        "x": [1.0, 2.0],
        "cloudy": ("t", [True, False]),
    },
)


def ask(code: str, cube: xr.DataArray | None = CUBE, log: Any = None, **more: Any) -> tuple[dict[str, Any], Any]:
    """Run code on a cube; requests and answers go through JSON."""
    request: dict[str, Any] = {"do": "apply", "code": code, "context": {}, **more}
    arrays = []
    if cube is not None:
        request["cube"], values = pack(cube)
        arrays = [values.copy()]  # of the call's own
    said: list[dict[str, Any]] = []
    answer, made = handle(json.loads(json.dumps(request, allow_nan=False)), arrays, log or said.append)
    answer = json.loads(json.dumps(answer, allow_nan=False))
    return answer, unpack(answer["cube"], made[0]) if "cube" in answer else None


def test_cubes_travel_unchanged() -> None:
    header, values = pack(CUBE)
    xr.testing.assert_identical(unpack(json.loads(json.dumps(header)), values), CUBE)


@pytest.mark.parametrize("values", [np.array(["a", "b"], object), np.array(["2022-01-01"], "M8[ns]"), np.array(["a"])])
def test_values_that_are_no_numbers_do_not_travel(values: np.ndarray) -> None:
    with pytest.raises(PackError):
        pack(xr.DataArray(values, dims="x"))


def test_features_travel_unchanged() -> None:
    frame = gpd.GeoDataFrame(
        {"n": [1, 2], "share": [0.1, np.nan], "name": ["é", ""], "is_field": [True, False]},
        geometry=[shapely.Point(1, 2, 3), shapely.box(0, 0, 1, 1)],
        crs="EPSG:32631",
    )
    back = unpack_features(json.loads(json.dumps(pack_features(frame), allow_nan=False)))
    pd.testing.assert_frame_equal(*(pd.DataFrame(f.drop(columns="geometry")) for f in (back, frame)), check_dtype=False)
    assert back.crs == frame.crs
    assert back.geometry.iloc[0].z == 3
    assert back.geometry.iloc[1].equals(frame.geometry.iloc[1])


@pytest.mark.parametrize(
    "code",
    [
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n    return cube + 1\n",
        "def apply_datacube(cube: 'xr.DataArray', context):\n    return cube + 1\n",
        "from __future__ import annotations\n"
        "def apply_datacube(cube: xr.DataArray) -> xr.DataArray:\n    return cube + 1\n",
        "def apply_datacube(cube, context):\n    return cube.values + 1\n",
        "def apply_datacube(cube, context):\n    cube.values[...] += 1\n    return cube\n",
        "def apply_datacube(data, *, context):\n    return data + 1\n",
        "def apply_hypercube(cube: XarrayDataCube, context: dict) -> XarrayDataCube:\n"
        "    return XarrayDataCube(cube.get_array() + 1)\n",
        "def apply_datacube(cube: DataCube, context: dict) -> DataCube:\n    return DataCube(cube.array + 1)\n",
        "def apply_udf_data(data):\n    data.datacube_list = [XarrayDataCube(data.datacube_list[0].array + 1)]\n",
        "def anything(data: UdfData) -> UdfData:\n"
        "    return UdfData(datacube_list=[XarrayDataCube(data.datacube_list[0].array + 1)])\n",
        "def apply_timeseries(series: pd.Series, context: dict) -> pd.Series:\n    return series + 1\n",
        "import dataclasses\n@dataclasses.dataclass\nclass Add:\n    n: int = 1\n"
        "def apply_datacube(cube, context):\n    return cube + Add().n\n",
    ],
)
def test_entry_points(code: str) -> None:
    answer, made = ask(code)
    assert answer["kind"] == "cube", answer
    xr.testing.assert_equal(made.drop_vars("cloudy", errors="ignore"), CUBE.drop_vars("cloudy") + 1)


def test_series_have_their_dates_and_may_become_numbers() -> None:
    code = "def apply_timeseries(series, context):\n    return series[series.index > '2022-01-05'].sum()\n"
    _, made = ask(code)
    assert made.dims == ("bands", "y", "x")
    np.testing.assert_array_equal(made.values, CUBE.values[1])
    answer, _ = ask("def apply_timeseries(series, context):\n    return series[:1]\n")
    assert "series of (1,) values; 2 went in" in answer["message"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("a = 1\n", "the code defines none of apply_datacube"),
        ("def apply_vectorcube(geometries, cube, context):\n    pass\n", "the data is a raster cube"),
        ("def apply_datacube(cube, context):\n    pass\n", "returned NoneType, not an xarray.DataArray"),
        ("def apply_datacube(cube, context):\n    return cube.astype(str)\n", "not numbers"),
        ("def apply_udf_data(data):\n    data.datacube_list *= 2\n", "left 2 cubes"),
        ("def apply_udf_data(data):\n    data.datacube_list = []\n", "neither a cube nor features"),
    ],
)
def test_what_does_not_fit_is_told(code: str, message: str) -> None:
    answer, _ = ask(code)
    assert answer["kind"] == "error"
    assert message in answer["message"]


def test_tracebacks_have_the_users_lines_alone() -> None:
    answer, _ = ask("import pandas\n\ndef apply_datacube(cube, context):\n    return pandas.Timestamp('no date')\n")
    assert answer["message"].endswith("(line 4, in apply_datacube)")
    lines = answer["traceback"].splitlines()
    assert lines[:3] == [
        "Traceback (most recent call last):",
        '  File "udf.py", line 4, in apply_datacube',
        "    return pandas.Timestamp('no date')",
    ]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (line 2, in <module>)"),
        ("x = (\n", "SyntaxError: '(' was never closed (line 1)"),
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package' (line 1, in <module>)"),
        ("def apply_datacube(cube, context):\n    return apply_datacube(cube, context)\n", "RecursionError"),
    ],
)
def test_code_that_fails_otherwise(code: str, message: str) -> None:
    answer, _ = ask(code)
    assert answer["kind"] == "error"
    assert message in answer["message"]
    assert len(answer["traceback"]) < 10_000


def test_running_out_of_memory_is_left_to_the_sandbox() -> None:
    with pytest.raises(MemoryError):
        ask("def apply_datacube(cube, context):\n    raise MemoryError\n")


def test_messages_have_level_data_and_bounds() -> None:
    said: list[dict[str, Any]] = []
    code = (
        "from openeo.udf import inspect\ndef apply_datacube(cube, context):\n"
        "    inspect(cube, 'cube', code='C', level='debug')\n"
        "    inspect(float('nan'), 'x' * 10_000, level='error')\n"
        "    for i in range(1000):\n        inspect(message='again')\n    return cube\n"
    )
    ask(code, log=said.append)
    assert said[0] == {
        "level": "debug",
        "code": "C",
        "message": "cube",
        "data": {"dimensions": {"t": 2, "bands": 3, "y": 2, "x": 2}, "data_type": "float32"},
    }
    assert said[1]["level"] == "error"
    assert len(said[1]["message"]) < 5000
    assert len(said) == MOST + 1
    assert said[-1]["level"] == "warning"
    json.dumps(said, allow_nan=False)


def test_what_is_printed_and_logged_is_said_line_by_line() -> None:
    said: list[dict[str, Any]] = []
    code = (
        "import logging, sys, warnings\nlogger = logging.getLogger('mine')\n"
        "print('loaded')\n"
        "def apply_datacube(cube, context):\n"
        "    logging.debug('of no interest'); logger.info('%d blocks', 2)\n"
        "    logger.error('%d blocks', 'no number')\n"
        "    print('first\\nsecond\\n'); print('1 %\\r2 %', end='')\n"
        "    try:\n        1 / 0\n    except ZeroDivisionError:\n        logger.exception('caught')\n"
        "    print('bad', file=sys.stderr); warnings.warn('not told')\n"
        "    return cube\n"
    )
    before = sys.stdout, logging.getLogger().level, logging.getLogger().handlers[:]
    ask(code, log=said.append)
    assert (sys.stdout, logging.getLogger().level, logging.getLogger().handlers) == before
    told = [(entry["level"], entry["message"].splitlines()[0]) for entry in said]
    assert told == [
        ("info", "loaded"),
        ("info", "2 blocks"),
        ("error", "%d blocks"),
        ("info", "first"),
        ("info", "second"),
        ("error", "caught"),
        ("warning", "bad"),
        ("info", "2 %"),
    ]
    assert said[5]["message"].endswith("ZeroDivisionError: division by zero")


def test_libraries_are_heard_when_they_warn() -> None:
    said: list[dict[str, Any]] = []
    library = compile("import logging\ndef run():\n    logging.info('a')\n    logging.warning('b')\n", "lib.py", "exec")
    names: dict[str, Any] = {}
    exec(library, names)  # noqa: S102
    with forwarded(said.append):
        names["run"]()
    assert [entry["message"] for entry in said] == ["b"]


def test_structured_data() -> None:
    code = (
        "def apply_udf_data(data):\n    (given,) = data.structured_data_list\n"
        "    made = {'sum': np.float32(sum(given.data)), 'when': pd.Timestamp('2022-01-01'), 'nan': float('nan')}\n"
        "    data.structured_data_list = [StructuredData(made)]\n"
    )
    answer, _ = ask(code, None, value=[1, 2])
    assert answer == {"kind": "value", "value": {"sum": 3.0, "when": "2022-01-01T00:00:00", "nan": None}}
    answer, _ = ask("def apply_udf_data(data):\n    data.structured_data_list = [StructuredData([object()])]\n")
    assert "cannot be written as JSON" in answer["message"]


def test_metadata() -> None:
    dimensions = [
        {"name": "t", "type": "temporal", "labels": ["2022-01-01", "2022-01-11"]},
        {"name": "bands", "type": "bands", "labels": ["a", "b", "c"]},
        {"name": "x", "type": "spatial", "extent": [0, 9], "step": 1},
    ]
    code = (
        "def apply_metadata(metadata, context):\n    assert metadata.temporal_dimension.extent[0] == '2022-01-01'\n"
        "    renamed = metadata.rename_labels('bands', ['z'], ['b']).rename_labels('t', ['one'])\n"
        "    return renamed.rename_dimension('t', 'periods').add_dimension('kind', context['kind'], 'other')\n"
    )
    request = {"do": "metadata", "code": code, "context": {"kind": "new"}, "dimensions": dimensions}
    answer, _ = handle(request, [], print)
    assert answer["dimensions"] == [
        {"name": "periods", "type": "temporal", "labels": ["one"]},
        {"name": "bands", "type": "bands", "labels": ["a", "z", "c"]},
        {"name": "x", "type": "spatial"},
        {"name": "kind", "type": "other"},
    ]
    answer, _ = handle({**request, "code": "a = 1\n"}, [], print)
    assert answer == {"kind": "metadata", "dimensions": None}
    answer, _ = handle({**request, "code": "def apply_metadata(metadata, context):\n    return 3\n"}, [], print)
    assert answer["kind"] == "error"


def test_the_guest_loads_nothing_of_the_server() -> None:
    program = (
        "import sys; from udf.guest import handle; "
        "others = ('backend', 'processes', 'models', 'torch', 'flask', 'distributed'); "
        "print([m for m in sys.modules if m.split('.')[0] in others or (m[:4] == 'udf.' and m[:9] != 'udf.guest')])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
