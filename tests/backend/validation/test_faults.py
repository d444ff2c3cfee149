"""Validation finds all faults of a graph, with the words in which it would fail, and computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import pytest

from backend.context import Services
from backend.graphs.engine import Engines
from backend.sync.deadline import Deadline
from backend.sync.run import prepare
from backend.validation import find_faults
from processes.environment import Ledger
from processes.errors import OpenEOError
from processes.graph import GraphLimits
from processes.registry import build_registry
from processes.sources import FileCatalog
from tests.processes.sources.archives import Stored

INSIDE = {"west": 500_000, "south": 5_699_700, "east": 500_300, "north": 5_700_000, "crs": 32633}
Find = Callable[..., list[OpenEOError]]


@pytest.fixture(scope="module")
def registry() -> Any:
    return build_registry()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> FileCatalog:
    """A catalogue of one collection: four dates, three bands, 32 x 32 pixels."""
    folder = tmp_path_factory.mktemp("validation")
    made = FileCatalog(folder / "catalog.json")
    made.add(Stored().write(folder / "SENTINEL2_L2A.zarr"))
    return made


@pytest.fixture
def real(services: Services, registry: Any, catalog: FileCatalog) -> Services:
    """Services with real processes and that catalogue."""
    return replace(services, catalog=catalog, graphs=Engines(registry, services.stored, GraphLimits()))


@pytest.fixture
def find(real: Services) -> Find:
    """Find the faults of a graph for the user anna, or for another one."""

    def find(graph: dict[str, Any], user: str | None = "anna", **process: Any) -> list[OpenEOError]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a validation has computed something")

        with dask.config.set(scheduler=refuse):
            return find_faults(real, {"process_graph": graph, **process}, user)

    return find


def node(process: str, data: Any = None, result: bool = False, **arguments: Any) -> dict[str, Any]:
    """Return a node; `data` is the name of a node, or whatever else that parameter shall be."""
    given = {"data": {"from_node": data} if isinstance(data, str) else data} if data is not None else {}
    return {"process_id": process, "arguments": {**given, **arguments}, "result": result}


def load(**changes: Any) -> dict[str, Any]:
    arguments = {"id": "SENTINEL2_L2A", "spatial_extent": INSIDE, "temporal_extent": ["2021-12-01", "2022-04-01"]}
    return node("load_collection", **{**arguments, **changes})


def reducer(process: str, **arguments: Any) -> dict[str, Any]:
    callback = {"r": node(process, result=True, data={"from_parameter": "data"}, **arguments)}
    return {"process_graph": callback}


def codes(faults: list[OpenEOError]) -> list[str]:
    return sorted(fault.code for fault in faults)


SOUND = {
    "load": load(bands=["B04", "B08"]),
    "ndvi": node("ndvi", "load", nir="B08", red="B04"),
    "median": node("reduce_dimension", "ndvi", dimension="t", reducer=reducer("median")),
    "save": node("save_result", "median", result=True, format="GTiff"),
}


@pytest.mark.parametrize("user", ["anna", None])
def test_a_sound_graph_has_none(find: Find, user: str | None) -> None:
    assert find(SOUND, user) == []


@pytest.mark.parametrize("user", ["anna", None])
def test_all_faults_are_found_not_the_first(find: Find, user: str | None) -> None:
    graph = {
        "a": load(id="NOWHERE"),
        "b": load(bands=["B04", "B99"]),
        "c": load(temporal_extent=["2031-01-01", "2031-02-01"]),
        "d": load(spatial_extent={"west": 3, "south": 3, "east": 4, "north": 4}),
        "e": load(temporal_extent=["2022-02-01", "2022-01-01"]),
        "f": load(spatial_extent={"west": 4, "south": 3, "east": 3, "north": 4}),
        "good": load(),
        "g": node("filter_bands", "good", bands=["B98"]),
        "h": node("reduce_dimension", "good", dimension="time", reducer=reducer("mean")),
        "i": node("ndvi", "good", nir="B97"),
        "j": node("no_such_process"),
        "k": node("reduce_dimension", "good", dimension="t"),
        "l": node("filter_bands", "good", bands=5),
        "m": node("save_result", "good", result=True, format="XYZ"),
        "n": node("reduce_dimension", "good", dimension="bands", reducer=reducer("array_element", label="B96")),
        "o": node("save_result", "good", format="PNG"),
    }
    faults = find(graph, user)
    told = {key: [fault for fault in faults if f"node '{key}'" in fault.message] for key in graph}
    found = {key: codes(found) for key, found in told.items()}
    assert found == {
        "a": ["CollectionNotFound"],
        "b": ["ProcessParameterInvalid"],
        "c": ["NoDataAvailable"],
        "d": ["NoDataAvailable"],
        "e": ["TemporalExtentEmpty"],
        "f": ["ProcessParameterInvalid"],
        "good": [],
        "g": ["LabelNotAvailable"],
        "h": ["DimensionNotAvailable"],
        "i": ["NirBandAmbiguous"],
        "j": ["ProcessUnsupported"],
        "k": ["ProcessParameterRequired"],
        "l": ["ProcessParameterInvalid"],
        "m": [],
        "n": ["ArrayElementNotAvailable"],
        "o": ["FormatUnsuitable"],
    }
    rest = [fault for fault in faults if not any(fault in found for found in told.values())]
    assert codes(rest) == ["FileTypeInvalid", "ProcessGraphInvalid"]  # the latter: what "o" saves is not the result


def test_faults_are_told_as_the_graph_would_fail(find: Find, real: Services) -> None:
    graph = {"load": load(bands=["B99"]), "save": node("save_result", "load", result=True, format="GTiff")}
    (fault,) = find(graph)
    with pytest.raises(OpenEOError) as refused:
        prepare(real, {"process_graph": graph}, "anna", Ledger(), Deadline(60))
    assert (fault.code, fault.message) == (refused.value.code, refused.value.message)


def test_what_follows_a_fault_is_not_blamed(find: Find) -> None:
    graph = {**SOUND, "load": load(bands=["B99"])}
    (fault,) = find(graph)
    assert "B99" in fault.message


def test_broken_structure_does_not_hide_what_is_wrong_elsewhere(find: Find) -> None:
    graph = {
        "bad": load(bands=["B99"]),
        "circle1": node("ndvi", "circle2"),
        "circle2": node("ndvi", "circle1"),
        "lost": node("ndvi", "nowhere"),
        "odd": 5,
        "odder": {"process_id": "add"},
    }
    faults = find(graph)
    messages = " ".join(fault.message for fault in faults)
    for words in ("B99", "'circle1'", "'nowhere'", "'odd' is not an object", "'odder' has no `arguments`", "as result"):
        assert words in messages


def test_parameters_without_a_value_are_not_blamed(find: Find) -> None:
    bands = {"name": "bands", "description": "Bands.", "schema": {"type": "array"}}
    dimension = {"name": "dimension", "description": "D.", "schema": {"type": "string"}}
    wrong = node("reduce_dimension", "load", dimension={"from_parameter": "dimension"}, reducer=reducer("mean"))
    graph = {"load": load(bands={"from_parameter": "bands"}), "mean": {**wrong, "result": True}}
    assert find(graph, parameters=[bands, dimension]) == []
    known = [{**bands, "optional": True, "default": ["B04"]}, {**dimension, "optional": True, "default": "time"}]
    (fault,) = find(graph, parameters=known)
    assert (fault.code, "'time'" in fault.message) == ("DimensionNotAvailable", True)


def test_stored_processes_are_tried_out_too(find: Find, real: Services) -> None:
    data = {"name": "data", "description": "A cube.", "schema": {"type": "object", "subtype": "datacube"}}
    inner = {"f": node("filter_bands", result=True, bands=["B99"], data={"from_parameter": "data"})}
    real.stored.put("anna", "mine", {"process_graph": inner, "parameters": [data]})
    graph = {"load": load(), "use": {**node("mine", "load"), "result": True}}
    (fault,) = find(graph)
    assert fault.code == "LabelNotAvailable"
    assert codes(find(graph, "ben")) == ["ProcessUnsupported"]


def test_nothing_is_fetched_nor_kept(find: Find, real: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that reach beyond the server wait until the graph runs; so do stored ones that hold them."""
    spec = {"id": "reach", "categories": ["import"], "parameters": [], "returns": {"schema": {}}}
    called = []
    registry = build_registry()
    registry["reach"] = type(registry["add"])(spec=spec, implementation=lambda: called.append(1))
    services = replace(real, graphs=Engines(registry, real.stored, GraphLimits()))
    real.stored.put("anna", "mine", {"process_graph": {"r": node("reach", result=True)}})
    for name in ("reach", "mine"):
        assert find_faults(services, {"process_graph": {"n": node(name, result=True)}}, "anna") == []
    assert called == []


def test_strangers_can_make_nothing_work_hard(find: Find) -> None:
    graph = {"n": node("array_create", result=True, data=[1], repeat=-1)}
    assert len(find(graph)) == 1
    assert find(graph, None) == []


def test_long_chains_are_no_burden(find: Find) -> None:
    graph = {"n0": node("add", x=1, y=1)}
    for index in range(1, 400):
        graph[f"n{index}"] = node("add", x={"from_node": f"n{index - 1}"}, y=1, result=index == 399)
    assert find(graph) == []


def test_defects_are_not_told_as_faults(find: Find, real: Services, tmp_path: Path) -> None:
    class Broken:
        def get(self, identifier: str) -> Any:
            raise ZeroDivisionError

        def ids(self) -> list[str]:
            return []

    services = replace(real, catalog=Broken())  # type: ignore[arg-type]
    assert find_faults(services, {"process_graph": {"load": {**load(), "result": True}}}, "anna") == []
