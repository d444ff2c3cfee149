"""A process that looks round its pixels gets its cubes a second time, with what lies round them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.environment import Environment, Halo
from processes.graph import check_graph, evaluate
from processes.graph.halo import TRANSPARENT
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import (
    cube,
    environment,
    fake_process,
    flat,
    node,
    of,
    one,
    param,
    parameter,
    values,
)

HALO = Halo(pixels=2, days=20)
WHOLE = cube(values(12, 3, 12, 14), chunks=(5, 3, 6, 7))
# In the middle of `WHOLE`: dates 4 to 6, rows 4 to 7, columns 5 to 8.
EXTENT = {"west": 500_050, "east": 500_090, "south": 5_649_920, "north": 5_649_960, "crs": 32631}
DATES = ["2022-02-14", "2022-03-16"]
EMBED = [parameter("data"), parameter("others", optional=True, default=[])]


class Embed:
    """What the fake embedding received."""

    halo_of = ("data", "others")

    def __init__(self, halo: Halo | None = HALO) -> None:
        self.wanted = halo
        self.calls: list[dict[str, Any]] = []

    def __call__(self, data: Any, others: Any = (), wide: Any = None) -> Any:
        self.calls.append({"data": data, "others": others, "wide": wide})
        return data

    def halo(self, arguments: Any, env: Environment) -> Halo | None:
        assert "data" in arguments
        return self.wanted


def load(*, env: Environment) -> xr.DataArray:
    """All of `WHOLE` but what only a halo reaches: its outermost pixels and dates."""
    return WHOLE if env.halo else WHOLE.isel(t=slice(1, -1), y=slice(1, -1), x=slice(1, -1))


@pytest.fixture
def embed() -> Embed:
    return Embed()


@pytest.fixture
def ask(
    registry: ProcessRegistry, embed: Embed, raise_if_computes: Callable[[], Any]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that runs a graph whose result is `embed` and returns what that received."""
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    copy["load_collection"] = fake_process("load_collection", load)
    copy["embed"] = fake_process("embed", embed, *EMBED)

    def ask(graph: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        with raise_if_computes():
            evaluate(check_graph(graph), copy, environment(**parameters))
        return embed.calls[-1]

    return ask


def filtered(**nodes: Any) -> dict[str, Any]:
    """Return nodes load, box and days, and `nodes` after them."""
    first = {
        "load": node("load_collection"),
        "box": node("filter_bbox", data=of("load"), extent=EXTENT),
        "days": node("filter_temporal", data=of("box"), extent=DATES),
    }
    return flat(**first, **nodes)


def sizes(data: xr.DataArray) -> tuple[int, int, int]:
    return data.sizes["t"], data.sizes["y"], data.sizes["x"]


def test_filters_reach_further_for_the_wide_cube(ask: Callable[..., dict[str, Any]]) -> None:
    seen = ask(filtered(embed=node("embed", data=of("days"))))
    plain, wide = seen["data"], seen["wide"]["data"]
    assert sizes(plain) == (3, 4, 4)
    assert sizes(wide) == (7, 8, 8)
    xr.testing.assert_identical(wide.sel(t=plain.t, y=plain.y, x=plain.x).compute(), plain.compute())


def test_the_load_itself_reaches_further(ask: Callable[..., dict[str, Any]]) -> None:
    seen = ask(flat(load=node("load_collection"), embed=node("embed", data=of("load"))))
    assert (sizes(seen["data"]), sizes(seen["wide"]["data"])) == ((10, 10, 12), (12, 12, 14))


def test_everything_transparent_may_lie_between(ask: Callable[..., dict[str, Any]]) -> None:
    double = one("multiply", x=param("x"), y=2)
    seen = ask(
        filtered(
            bands=node("filter_bands", data=of("days"), bands=["B03", "B01"]),
            labels=node("filter_labels", data=of("bands"), dimension="bands", condition=one("constant", x=True)),
            named=node("rename_labels", data=of("labels"), dimension="bands", target=["b", "a"], source=["B03", "B01"]),
            twice=node("apply", data=of("named"), process=double),
            index=node("ndvi", data=of("twice"), nir="a", red="b"),
            added=node("add_dimension", data=of("index"), name="bands", label="ndvi", type="bands"),
            merged=node("merge_cubes", cube1=of("twice"), cube2=of("added")),
            first=node(
                "reduce_dimension", data=of("days"), dimension="bands", reducer=one("first", data=param("data"))
            ),
            cloud=node("apply", data=of("first"), process=one("gt", x=param("x"), y=1.5)),
            masked=node("mask", data=of("merged"), mask=of("cloud")),
            embed=node("embed", data=of("masked")),
        )
    )
    plain, wide = seen["data"], seen["wide"]["data"]
    assert list(plain.bands.values) == list(wide.bands.values) == ["b", "a", "ndvi"]
    assert sizes(wide) == (7, 8, 8)
    here = wide.sel(t=plain.t, y=plain.y, x=plain.x)
    np.testing.assert_array_equal(here.transpose(*plain.dims).values, plain.values)


@pytest.mark.parametrize(
    "between",
    [
        node("aggregate_temporal_period", data=of("days"), period="month", reducer=one("mean", data=param("data"))),
        node("reduce_dimension", data=of("days"), dimension="t", reducer=one("mean", data=param("data"))),
        node("apply_dimension", data=of("days"), dimension="t", process=one("sort", data=param("data"), nodata=True)),
        node("apply_kernel", data=of("days"), kernel=[[1, 1, 1]]),
        node("resample_spatial", data=of("days"), resolution=20),
        node("filter_labels", data=of("days"), dimension="t", condition=one("constant", x=True)),
        node("add_dimension", data=of("days"), name="z", label="a"),
    ],
    ids=lambda between: between["process_id"],
)
def test_anything_else_between_keeps_the_cube_as_it_is(ask: Callable[..., dict[str, Any]], between: Any) -> None:
    seen = ask(filtered(between=between, embed=node("embed", data=of("between"))))
    assert seen["wide"]["data"] is seen["data"]


def test_a_cube_that_comes_as_a_parameter_is_not_widened(ask: Callable[..., dict[str, Any]]) -> None:
    double = node("apply", data=param("given"), process=one("multiply", x=param("x"), y=2))
    seen = ask(flat(double=double, embed=node("embed", data=of("double"))), given=WHOLE)
    assert seen["wide"]["data"] is seen["data"]
    seen = ask(flat(embed=node("embed", data=param("given"))), given=WHOLE)
    assert seen["wide"]["data"] is seen["data"]


def test_arrays_of_cubes_are_widened_as_a_whole(ask: Callable[..., dict[str, Any]]) -> None:
    seen = ask(filtered(embed=node("embed", data=of("days"), others=[of("box"), of("days")])))
    assert [sizes(wide) for wide in seen["wide"]["others"]] == [(12, 8, 8), (7, 8, 8)]
    mean = node("reduce_dimension", data=of("days"), dimension="t", reducer=one("mean", data=param("data")))
    seen = ask(filtered(mean=mean, embed=node("embed", data=of("days"), others=[of("days"), of("mean")])))
    assert sizes(seen["wide"]["data"]) == (7, 8, 8)
    assert seen["wide"]["others"] is seen["others"]


def test_no_halo_no_wide_cube(ask: Callable[..., dict[str, Any]], embed: Embed) -> None:
    embed.wanted = None
    assert ask(filtered(embed=node("embed", data=of("days"))))["wide"] is None


def test_each_node_runs_once_for_each_halo(registry: ProcessRegistry, embed: Embed) -> None:
    halos: list[Halo | None] = []

    def counted(*, env: Environment) -> xr.DataArray:
        halos.append(env.halo)
        return load(env=env)

    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    copy["load_collection"] = fake_process("load_collection", counted)
    copy["embed"] = fake_process("embed", embed, *EMBED)
    graph = filtered(
        one=node("embed", data=of("days"), others=[of("days")]),
        two=node("embed", data=of("days")),
        both=node("array_create", data=[1, of("one"), of("two")]),
        end=node("array_labels", data=of("both")),
    )
    evaluate(check_graph(graph), copy, environment())
    assert halos == [None, HALO]


def test_no_halo_in_callbacks(registry: ProcessRegistry, embed: Embed) -> None:
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    copy["load_collection"] = fake_process("load_collection", load)
    copy["embed"] = fake_process("embed", embed, *EMBED)
    inner = {"process_graph": flat(load=node("load_collection"), embed=node("embed", data=of("load")))}
    evaluate(check_graph(flat(a=node("array_apply", data=[1], process=inner))), copy, environment())
    assert embed.calls[-1]["wide"] is None


def test_transparent_processes_exist(registry: ProcessRegistry) -> None:
    assert set(TRANSPARENT) <= set(registry["predefined", None])
