"""`load_collection`: arguments become one request to the source; see tests/processes/sources for what it loads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from openeo_pg_parser_networkx.pg_schema import BoundingBox, TemporalInterval

from processes.environment import Environment, Halo
from processes.errors import OpenEOError
from processes.implementations.load_collection import load_collection
from processes.sources import Bbox, FileCatalog, LoadRequest
from tests.processes.sources.archives import NORTH, WEST, Stored

SPEC = Path(__file__).parents[2] / "processes" / "specs" / "load_collection.json"
BOX = {"west": 5.0, "south": 50.0, "east": 6.0, "north": 51.0}


class Recorder:
    """A catalog of one source, both of which remember what they were asked."""

    id = "S2"

    def __init__(self) -> None:
        self.request = LoadRequest()

    def get(self, collection_id: str) -> Recorder:
        assert collection_id == "S2"
        return self

    def load(self, request: LoadRequest) -> xr.DataArray:
        self.request = request
        return xr.DataArray(da.zeros((1, 1, 2, 2)), dims=("t", "bands", "y", "x"))


def ask(*arguments: Any, halo: Halo | None = None) -> LoadRequest:
    recorder = Recorder()
    env = Environment(catalog=recorder, models=SimpleNamespace(), halo=halo)  # type: ignore[arg-type]
    load_collection("S2", *arguments, env=env)
    return recorder.request


def test_nulls_ask_for_everything() -> None:
    assert ask(None, None) == LoadRequest(properties={})


def test_arguments_are_parsed_once_into_a_request() -> None:
    request = ask({**BOX, "crs": 32631}, ["2024-01-01", "2024-02-01"], ["B04", "red"], None, halo=Halo(4, 30))
    assert request.bbox == Bbox(5.0, 50.0, 6.0, 51.0, "EPSG:32631")
    assert request.interval == (np.datetime64("2024-01-01", "ns"), np.datetime64("2024-02-01", "ns"))
    assert request.bands == ("B04", "red")
    assert request.halo == Halo(4, 30)


def test_the_graph_parsers_typed_arguments_do_as_well() -> None:
    typed = ask(BoundingBox(**BOX), TemporalInterval.model_validate(["2024-01-01", "2024-02-01"]))
    assert typed == ask(BOX, ["2024-01-01", "2024-02-01"])


def test_conditions_get_the_value_by_the_parameters_name() -> None:
    calls: list[tuple[Any, Any]] = []

    def callback(*values: Any, positional_parameters: dict[str, int], named_parameters: dict[str, Any]) -> bool:
        named = {**{name: values[at] for name, at in positional_parameters.items()}, **named_parameters}
        calls.append((values, named))
        return bool(named["value"] <= 50)

    condition = ask(None, None, None, {"eo:cloud_cover": callback}).properties["eo:cloud_cover"]
    assert condition(20.0) is True
    assert condition(80.0) is False
    assert calls[0] == ((20.0,), {"value": 20.0})


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (({**BOX, "east": 4.0}, None), "ProcessParameterInvalid", r"west \(5\) must be less than east \(4\)"),
        (({**BOX, "crs": "nowhere"}, None), "ProcessParameterInvalid", "'nowhere' is not known"),
        ((None, ["2024-02-01", "2024-01-01"]), "TemporalExtentEmpty", "2024-02-01"),
        ((None, None, []), "ProcessParameterInvalid", "at least one band name"),
        ((None, None, "B04"), "ProcessParameterInvalid", "at least one band name"),
        ((None, None, None, {"eo:cloud_cover": 50}), "ProcessParameterInvalid", "eo:cloud_cover"),
        (({"type": "Point", "coordinates": [5, 50]}, None), "ProcessParameterInvalid", "only polygons"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[Any, ...], code: str, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as failure:
        ask(*arguments)
    assert failure.value.code == code


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """An environment whose catalog has the tiny archive."""
    catalog = FileCatalog(tmp_path / "catalog.json")
    catalog.add(Stored().write(tmp_path / "a.zarr"))
    return Environment(catalog=catalog, models=SimpleNamespace())  # type: ignore[arg-type]


def square(left: int, right: int) -> dict[str, Any]:
    """Return GeoJSON round the pixels left to right (end excluded) of the first rows, in the archive's CRS."""
    west, east, south = WEST + 10 * left, WEST + 10 * right, NORTH - 30
    ring = [[west, NORTH], [east, NORTH], [east, south], [west, south], [west, NORTH]]
    return {"type": "Polygon", "coordinates": [ring], "crs": {"properties": {"name": "EPSG:32633"}}}


def two_squares() -> dict[str, Any]:
    crs = square(0, 1)["crs"]
    features = [{"type": "Feature", "geometry": square(*ends)} for ends in ((2, 4), (8, 10))]
    return {"type": "FeatureCollection", "features": features, "crs": crs}


def test_polygons_limit_the_cube_and_empty_the_rest(env: Environment) -> None:
    cube = load_collection("SENTINEL2_L2A", two_squares(), None, ["B04"], env=env)
    assert cube.shape == (4, 1, 3, 8)
    empty = np.isnan(cube.values).all(axis=(0, 1, 2))
    assert empty.tolist() == [False, False, True, True, True, True, False, False]


def test_outside_of_polygons_classes_are_their_own_no_data(env: Environment) -> None:
    cube = load_collection("SENTINEL2_L2A", two_squares(), None, ["SCL"], env=env)
    assert cube.dtype == "uint8"
    assert (cube.values[..., 2:6] == 0).all()
    assert (cube.values[..., :2] != 0).any()


def test_unknown_collections_name_the_known_ones(env: Environment) -> None:
    with pytest.raises(OpenEOError, match="SENTINEL2_L2A") as failure:
        load_collection("nope", None, None, env=env)
    assert failure.value.code == "CollectionNotFound"


def without_prose(value: Any) -> Any:
    """Return a specification without what we say in our own words."""
    if isinstance(value, dict):
        prose = {"description", "title", "message", "examples", "links", "summary"}
        return {key: without_prose(part) for key, part in value.items() if key not in prose}
    return [without_prose(part) for part in value] if isinstance(value, list) else value


def test_the_specification_is_openeos(api_spec: Path) -> None:
    ours, theirs = (json.loads(p.read_text()) for p in (SPEC, api_spec / "processes" / "load_collection.json"))
    assert without_prose(ours) == without_prose(theirs)
    assert ours["description"] != theirs["description"]


def test_the_function_has_the_specifications_parameters() -> None:
    spec = json.loads(SPEC.read_text())
    names = load_collection.__code__.co_varnames[: load_collection.__code__.co_argcount]
    assert [parameter["name"] for parameter in spec["parameters"]] == list(names)
