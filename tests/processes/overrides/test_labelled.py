"""Arrays with labels, alone and as what callbacks get along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.graph.pixels import PerPixel
from processes.overrides import labelled
from processes.registry import build_registry
from tests.processes.graph.graphs import callback, flat, node, of, param, run
from tests.processes.overrides.conftest import BANDS, make_cube

Graph = dict[str, Any]
FROM_LABELS = {"data": [5, 7, None], "labels": ["a", "b", 3]}


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def with_labels(registry: ProcessRegistry, process: str, **arguments: Any) -> Any:
    """What a process gives for the array of `FROM_LABELS`."""
    made = node("array_create_labeled", **FROM_LABELS)
    return run(registry, flat(made=made, used=node(process, data=of("made"), **arguments)))


def on_bands(registry: ProcessRegistry, cube: xr.DataArray, process: str, **nodes: Graph) -> xr.DataArray:
    """What a callback makes of the bands of a cube."""
    which = "reducer" if process == "reduce_dimension" else "process"
    arguments = {"data": param("cube"), "dimension": "bands", which: callback(**nodes)}
    return run(registry, flat(one=node(process, **arguments)), cube=cube)


def test_a_labelled_array_is_one_to_every_process(registry: ProcessRegistry) -> None:
    assert with_labels(registry, "array_element", label="b") == 7
    assert with_labels(registry, "max") == 7
    assert with_labels(registry, "array_labels") == ["a", "b", 3]
    result = run(registry, flat(one=node("array_create_labeled", data=["x", "y"], labels=[2, 1])))
    assert result == ["x", "y"]


@pytest.mark.parametrize(("label", "index"), [("a", 0), ("b", 1), (3, 2), ("3", None), ("c", None), (0, None)])
def test_labels_are_found_by_value_and_type(registry: ProcessRegistry, label: Any, index: int | None) -> None:
    assert with_labels(registry, "array_find_label", label=label) == index


def test_an_array_without_labels_has_none() -> None:
    assert labelled.array_find_label(["a", "b"], "a") is None
    assert labelled.array_find_label([1, 2], 0) is None


@pytest.mark.parametrize(("data", "labels", "code"), [
    ([1, 2], ["a"], "ArrayLengthMismatch"),
    ([], ["a"], "ArrayLengthMismatch"),
    ([1, 2], ["a", "a"], "ProcessParameterInvalid"),
    ("ab", ["a", "b"], "ProcessParameterInvalid"),
])  # fmt: skip
def test_labels_must_fit(data: Any, labels: list[str], code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        labelled.array_create_labeled(data, labels)
    assert caught.value.code == code


def test_labels_of_pixels(registry: ProcessRegistry, cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    bands = {"data": param("data"), "labels": ["x", "y", "z"]}
    again = node("array_create_labeled", **bands)
    second = on_bands(
        registry, cube, "reduce_dimension", new=again, one=node("array_element", data=of("new"), label="y")
    )
    place = on_bands(
        registry, cube, "reduce_dimension", one=node("array_find_label", data=param("data"), label=BANDS[2])
    )
    assert second.dims == place.dims == ("t", "y", "x")
    raise_if_computes()
    np.testing.assert_array_equal(second.values, make_cube().values[:, 1])
    assert (place.values == 2).all()


def test_dates_are_found_however_they_are_written(registry: ProcessRegistry) -> None:
    def place(label: str) -> Any:
        reducer = callback(one=node("array_find_label", data=param("data"), label=label))
        graph = flat(one=node("reduce_dimension", data=param("cube"), dimension="t", reducer=reducer))
        return run(registry, graph, cube=make_cube()).values.flat[0]

    assert place("2024-02-10") == place("2024-02-10T00:00:00Z") == place("2024-02-10T02:00:00+02:00") == 3
    assert np.isnan(place("2024-02-11"))
    assert np.isnan(place("B02"))


def test_modified_beyond_its_end() -> None:
    assert labelled.array_modify([1, 2], ["a"], 2) == [1, 2, "a"]
    assert labelled.array_modify([1, 2], [None], 1, 7) == [1, None]
    assert labelled.array_modify([], [], 0) == []
    with pytest.raises(OpenEOError, match="index 3 for an array of 2") as caught:
        labelled.array_modify([1, 2], ["a"], 3)
    assert caught.value.code == "ArrayElementNotAvailable"


def names(array: Any) -> Any:
    return None if array.labels is None else array.labels.tolist()


def test_labels_stay_if_both_arrays_have_some_or_one_is_empty() -> None:
    ours = labelled.array_create_labeled([1, 2, 3], ["a", "b", "c"])
    theirs = labelled.array_create_labeled([9.5], [7])
    both = labelled.array_modify(ours, theirs, 1, 1)
    assert both.variable.values.tolist() == [1, 9.5, 3]
    assert names(both) == ["a", 7, "c"]
    assert names(labelled.array_modify(ours, [], 0, 2)) == ["c"]
    assert names(labelled.array_modify([], theirs, 0)) == [7]
    assert names(labelled.array_modify(ours, [4], 1)) is None
    assert names(labelled.array_modify([4], theirs, 1)) is None
    with pytest.raises(OpenEOError, match="'data' and in 'values'") as caught:
        labelled.array_modify(ours, labelled.array_create_labeled([0], ["c"]), 0)
    assert caught.value.code == "ArrayLabelConflict"


def test_the_bands_of_pixels_modified(
    registry: ProcessRegistry, cube: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    modified = node("array_modify", data=param("data"), values=[0.5, None], index=1, length=1)
    result = on_bands(registry, cube, "apply_dimension", one=modified)
    mean = node("array_create", data=[of("mean")])
    inserted = node("array_modify", data=param("data"), values=of("list"), index=0)
    first = on_bands(registry, cube, "apply_dimension", mean=node("max", data=param("data")), list=mean, one=inserted)
    assert result.dtype == first.dtype == np.float32
    assert result["bands"].values.tolist() == [0, 1, 2, 3]
    raise_if_computes()
    values = make_cube().values
    np.testing.assert_array_equal(result.values[:, [0, 3]], values[:, [0, 2]])
    assert (result.values[:, 1] == 0.5).all()
    assert np.isnan(result.values[:, 2]).all()
    np.testing.assert_array_equal(first.values[:, 1:], values)
    np.testing.assert_array_equal(first.values[:, 0], np.fmax.reduce(values, axis=1))


def test_small_integers_do_not_wrap_round(registry: ProcessRegistry) -> None:
    whole = make_cube("uint8").chunk()
    modified = node("array_modify", data=param("data"), values=[300], index=3)
    assert on_bands(registry, whole, "apply_dimension", one=modified).isel(bands=3).values.max() == 300


def test_labels_when_appended(registry: ProcessRegistry) -> None:
    assert with_labels(registry, "array_append", value=1, label="d") == pytest.approx([5, 7, np.nan, 1], nan_ok=True)
    ours = labelled.array_create_labeled([1, 2], ["a", "b"])
    assert names(labelled.array_append(ours, 3)) == ["a", "b", 2]
    assert names(labelled.array_append(ours, 3, "c")) == ["a", "b", "c"]
    assert labelled.array_append(ours, 3, "c").variable.values.tolist() == [1, 2, 3]
    with pytest.raises(OpenEOError) as caught:
        labelled.array_append(ours, 3, "b")
    assert caught.value.code == "LabelExists"
    with pytest.raises(OpenEOError) as caught:
        labelled.array_append(labelled.array_create_labeled([1], [1]), 3)
    assert caught.value.code == "LabelExists"
    with pytest.raises(OpenEOError) as caught:
        labelled.array_append([1], 3, "b")
    assert caught.value.code == "ArrayNotLabeled"


def test_a_date_is_appended_to_dates() -> None:
    dates = np.array(["2024-01-01", "2024-02-01"], "datetime64[ns]")
    array = PerPixel(xr.Variable(("d",), [1, 2]), "d", dates)
    assert labelled.array_append(array, 3, "2024-03-01").labels.dtype == "datetime64[ns]"
    assert names(labelled.array_append(array, 3, "sum")) == ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "sum"]
    with pytest.raises(OpenEOError) as caught:
        labelled.array_append(array, 3, "2024-02-01T00:00:00Z")
    assert caught.value.code == "LabelExists"


def test_labels_of_joined_arrays() -> None:
    ours = labelled.array_create_labeled([1, 2], ["a", "b"])
    theirs = labelled.array_create_labeled([3], ["c"])
    assert names(labelled.array_concat(ours, theirs)) == ["a", "b", "c"]
    assert names(labelled.array_concat(ours, [3])) is None
    assert names(labelled.array_concat([], ours)) is None
    with pytest.raises(OpenEOError, match="'array1' and in 'array2'") as caught:
        labelled.array_concat(ours, ours)
    assert caught.value.code == "ArrayLabelConflict"


def test_an_appended_band_has_its_label(
    registry: ProcessRegistry, cube: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    more = node("array_append", data=param("data"), value=of("max"), label="top")
    result = on_bands(
        registry,
        cube,
        "reduce_dimension",
        max=node("max", data=param("data")),
        more=more,
        one=node("array_element", data=of("more"), label="top"),
    )
    raise_if_computes()
    np.testing.assert_array_equal(result.values, np.fmax.reduce(make_cube().values, axis=1))
