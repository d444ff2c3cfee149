"""`load_collection` in a graph: what reaches the collection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.environment import Environment
from processes.errors import OpenEOError
from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from processes.sources import Bbox, LoadRequest
from tests.processes.graph.graphs import callback, cube, flat, node, of, one, param, values


class Recorder:
    """A catalog of one collection that remembers what it was asked for."""

    def __init__(self) -> None:
        self.requests: list[LoadRequest] = []

    def get(self, id: str) -> Recorder:
        assert id == "S2"
        return self

    def load(self, request: LoadRequest) -> xr.DataArray:
        self.requests.append(request)
        return cube(values(3, 2, 6, 5))


def ask(registry: ProcessRegistry, recorder: Recorder, **arguments: Any) -> Any:
    given = {"id": "S2", "spatial_extent": None, "temporal_extent": None, **arguments}
    graph = flat(load=node("load_collection", **given), half=node("resample_spatial", data=of("load"), resolution=20))
    env = Environment(catalog=recorder, models=SimpleNamespace())  # type: ignore[arg-type]
    evaluate(check_graph(graph), registry, env)
    return recorder.requests[-1]


@pytest.mark.parametrize("start", ["2022-01-01", "2022-01-01T00:00:00Z", "2022-01-01T02:00:00+02:00"])
def test_extents_bands_and_conditions(registry: ProcessRegistry, start: str) -> None:
    cloudy = callback(
        a=node("lt", x=param("value"), y=50), b=node("gte", x=param("value"), y=10), c=node("and", x=of("a"), y=of("b"))
    )
    request = ask(
        registry,
        Recorder(),
        spatial_extent={"west": 3, "south": 50, "east": 4, "north": 51, "crs": 32631},
        temporal_extent=[start, None],
        bands=["B04", "red"],
        properties={"eo:cloud_cover": cloudy, "platform": one("eq", x=param("value"), y="S2A", case_sensitive=False)},
    )
    assert request.bbox == Bbox(3, 50, 4, 51, "EPSG:32631")
    assert request.interval == (np.datetime64("2022-01-01", "ns"), None)
    assert request.bands == ("B04", "red")
    assert [request.properties["eo:cloud_cover"](value) for value in (5, 10, 49.9, 50)] == [False, True, True, False]
    assert request.properties["platform"]("s2a") is True


def test_everything(registry: ProcessRegistry) -> None:
    assert ask(registry, Recorder()) == LoadRequest()


def test_an_empty_interval(registry: ProcessRegistry) -> None:
    with pytest.raises(OpenEOError) as caught:
        ask(registry, Recorder(), temporal_extent=["2022-01-02", "2022-01-02"])
    assert caught.value.code == "TemporalExtentEmpty"
