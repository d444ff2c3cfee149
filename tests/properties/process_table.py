"""What the standard processes for numbers, texts and arrays are given in the property tests, and which are excused.

Each case is a callback. Inside of a cube it is called for all pixels at once; the same callback, given the values of
one pixel as a plain list (or as single values), says what the result has to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.processes.graph.graphs import flat, node, of, one, param

Graph = dict[str, Any]
FLOATS = ("float64", "float32")
INTEGERS = ("int16", "uint8")
NUMBERS = (*FLOATS, *INTEGERS)
# Booleans, and the floats that they become where some are no data.
TRUTHS = ("bool", "truth")
ANY = (*NUMBERS, "bool", "U1")


@dataclass(frozen=True)
class Case:
    """One way to call a process.

    Parameters
    ----------
    id : str
        The process.
    graph : dict
        A flat graph; it refers to `x`, a single value, or to `data`, an array.
    kinds : tuple of str
        The types of the values that it takes.
    shape : str
        "each" (x to a value), "one" (an array to a value) or "array" (an array to an array).
    least : int
        The least number of elements.
    masks : str
        Arrays of pixels, which cannot differ in length, hold no-data where lists are shorter: at their "end", or in
        "place" of what lists leave out.
    null : bool
        Whether lists may say null instead of NaN.
    """

    id: str
    graph: Graph
    kinds: tuple[str, ...] = NUMBERS
    shape: str = "each"
    least: int = 0
    masks: str = ""
    null: bool = True


X, DATA = param("x"), param("data")
_UNARY = [
    "absolute",
    "arccos",
    "arcosh",
    "arcsin",
    "arctan",
    "arsinh",
    "artanh",
    "ceil",
    "cos",
    "cosh",
    "floor",
    "int",
    "ln",
    "sgn",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]
_BINARY: dict[str, tuple[str, str]] = dict.fromkeys(
    ["add", "arctan2", "divide", "mod", "multiply", "subtract"], ("x", "y")
) | {
    "arctan2": ("y", "x"),
    "log": ("x", "base"),
    "normalized_difference": ("x", "y"),
    "power": ("base", "p"),
}
_COMPARISONS = ["eq", "neq", "gt", "gte", "lt", "lte"]
_TESTS = ["is_infinite", "is_nan", "is_nodata", "is_valid"]
_REDUCERS = ["max", "mean", "median", "min", "product", "sd", "sum", "variance"]
_ACCUMULATORS = ["cummax", "cummin", "cumproduct", "cumsum"]


def _each(id: str, *, null: bool = True, kinds: tuple[str, ...] = NUMBERS, **arguments: Any) -> Case:
    return Case(id, flat(one=node(id, **arguments)), kinds, null=null)


def _pair(id: str, names: tuple[str, str], *, null: bool = True, kinds: tuple[str, ...] = NUMBERS) -> Case:
    """Return the process of two values of the same pixel."""
    operands = {name: of(which) for name, which in zip(names, ("first", "second"), strict=True)}
    nodes = {
        "first": node("array_element", data=DATA, index=0),
        "second": node("array_element", data=DATA, index=1),
        "made": node(id, **operands),
    }
    return Case(id, flat(**nodes), kinds, "one", least=2, null=null)


def _binary() -> Iterator[Case]:
    for id, (x, y) in _BINARY.items():
        # Its specification, alone of these, knows no null.
        yield _pair(id, (x, y), null=id != "normalized_difference")
        for constant in (2, -0.5, 0, None) if id != "normalized_difference" else (2, -0.5, 0):
            yield _each(id, null=id != "normalized_difference", **{x: X, y: constant})
            yield _each(id, null=id != "normalized_difference", **{x: constant, y: X})


def _comparisons() -> Iterator[Case]:
    for id in _COMPARISONS:
        kinds = ANY if id in ("eq", "neq") else (*NUMBERS, "bool", "U1")
        yield _pair(id, ("x", "y"), kinds=kinds)
        for constant in (1, -1, 300, 2.5, "a", None):
            yield _each(id, kinds=kinds, x=X, y=constant)
            yield _each(id, kinds=kinds, x=constant, y=X)
        # Floats may be booleans with gaps, and are then equal to booleans.
        for kind in (*INTEGERS, "bool", "U1", *(("truth",) if id in ("eq", "neq") else FLOATS)):
            yield _each(id, kinds=(kind,), x=X, y=True)
            yield _each(id, kinds=(kind,), x=True, y=X)
    for id in ("eq", "neq"):
        yield _each(id, x=X, y=2, delta=0.5)
        yield _each(id, kinds=("U1",), x=X, y="A", case_sensitive=False)
    for low, high, open_end in product((0, 2.5), (1, 100), (True, False)):
        yield _each("between", x=X, min=low, max=high, exclude_max=open_end)


def _logic() -> Iterator[Case]:
    for id in ("and", "or", "xor"):
        yield _pair(id, ("x", "y"), kinds=TRUTHS)
        for constant in (True, False, None):
            yield _each(id, kinds=TRUTHS, x=X, y=constant)
            yield _each(id, kinds=TRUTHS, x=constant, y=X)
    yield _each("not", kinds=TRUTHS, x=X)
    for accept, reject in ((1, 2), (X, None), (None, X), (X, -1), (2.5, X)):
        yield Case(
            "if", flat(test=node("gt", x=X, y=0), one=node("if", value=of("test"), accept=accept, reject=reject))
        )
    for id, ignore in product(("all", "any"), (True, False)):
        yield Case(id, flat(one=node(id, data=DATA, ignore_nodata=ignore)), TRUTHS, "one")


def _elementwise() -> Iterator[Case]:
    for id in _UNARY:
        yield _each(id, x=X)
    yield _each("exp", p=X)
    for id in _TESTS:
        # NaN is a number that is none, null is nothing at all: `is_nan` tells them apart, cubes cannot.
        yield _each(id, null=id != "is_nan", kinds=ANY, x=X)
    for low, high in ((0, 1), (-1.5, 100), (-1, 300)):
        yield _each("clip", x=X, min=low, max=high)
    for places in (0, 1, -1):
        yield _each("round", x=X, p=places)
    yield _each("linear_scale_range", x=X, inputMin=-1, inputMax=3, outputMin=0, outputMax=255)
    yield _each("linear_scale_range", x=X, inputMin=3, inputMax=-1)
    yield _each("constant", x=2.5)
    yield _each("e")
    yield _each("pi")
    yield _each("nan")


def _reducers() -> Iterator[Case]:
    for id, ignore in product(_REDUCERS, (True, False)):
        yield Case(id, flat(one=node(id, data=DATA, ignore_nodata=ignore)), NUMBERS, "one")
    for id, ignore in product(("first", "last"), (True, False)):
        yield Case(id, flat(one=node(id, data=DATA, ignore_nodata=ignore)), ANY, "one")
    for condition in (None, True, one("gt", x=X, y=0), one("eq", x=X, y="a")):
        yield Case("count", flat(one=node("count", data=DATA, condition=condition)), ANY, "one")
    for value in (1, -1, 2.5, True, "a", None):
        yield Case("array_contains", flat(one=node("array_contains", data=DATA, value=value)), ANY, "one")
        for reverse in (True, False):
            graph = flat(one=node("array_find", data=DATA, value=value, reverse=reverse))
            yield Case("array_find", graph, ANY, "one")
    yield Case("array_element", flat(one=node("array_element", data=DATA, index=0)), ANY, "one", least=1)
    yield Case("array_element", flat(one=node("array_element", data=DATA, index=3, return_nodata=True)), ANY, "one")


def _arrays() -> Iterator[Case]:
    for ignore in (True, False):
        yield _array("extrema", ignore_nodata=ignore, empty=True)
        for probabilities in ([0, 0.1, 0.5, 1], 4):
            yield _array("quantiles", probabilities=probabilities, ignore_nodata=ignore, empty=True)
        for id in _ACCUMULATORS:
            yield _array(id, ignore_nodata=ignore)
    yield _array("array_interpolate_linear")
    for ascending, nodata in product((True, False), (True, False, None)):
        yield _array(
            "sort", asc=ascending, nodata=nodata, masks="" if nodata is not None else "end", kinds=(*NUMBERS, "U1")
        )
        yield _array(
            "order", asc=ascending, nodata=nodata, masks="" if nodata is not None else "end", kinds=(*NUMBERS, "U1")
        )
        ranks = node("order", data=DATA, asc=ascending, nodata=nodata)
        made = flat(ranks=ranks, made=node("rearrange", data=DATA, order=of("ranks")))
        yield Case("rearrange", made, NUMBERS, "array", least=1, masks="" if nodata is not None else "end")
    yield _array("rearrange", order=[1, 0, 1], least=2)
    for value in (7, -1, 2.5, None):
        yield _array("array_append", value=value, empty=True)
    largest = node("max", data=DATA)
    yield Case("array_append", flat(top=largest, made=node("array_append", data=DATA, value=of("top"))), shape="array")
    for index, length in product((0, 1), (0, 1, 9)):
        yield _array("array_modify", values=[2.5, None], index=index, length=length)
        yield _array("array_modify", values=[400, -1], index=index, length=length)
    yield _array("array_apply", process=one("add", x=X, y=1))
    yield _array("array_apply", process=one("multiply", x=X, y=param("index")))
    yield _array("array_filter", condition=one("gt", x=param("index"), y=0), least=2)
    yield _array("array_filter", condition=one("gt", x=X, y=0), masks="place")
    yield _array("array_labels")
    added = node("array_concat", array1=DATA, array2=[of("top"), 5])
    yield Case("array_concat", flat(top=largest, made=added), NUMBERS, "array", least=1)
    yield Case("array_concat", flat(made=node("array_concat", array1=DATA, array2=[1, None, 2.5])), NUMBERS, "array")
    yield Case("array_concat", flat(made=node("array_concat", array1=DATA, array2=[-1, 400])), NUMBERS, "array")
    parts = {"least": node("min", data=DATA), "most": largest}
    made = flat(**parts, made=node("array_create", data=[of("least"), 3, None, of("most")], repeat=2))
    yield Case("array_create", made, NUMBERS, "array", least=1)
    made = flat(**parts, made=node("array_create", data=[of("least"), -1, 400]))
    yield Case("array_create", made, NUMBERS, "array", least=1)


def _array(id: str, *, kinds: tuple[str, ...] = NUMBERS, least: int = 1, **arguments: Any) -> Case:
    masks, least = arguments.pop("masks", ""), 0 if arguments.pop("empty", False) else least
    name = "array1" if id == "array_concat" else "data"
    return Case(id, flat(one=node(id, **{name: DATA}, **arguments)), kinds, "array", least, masks)


CASES: tuple[Case, ...] = (*_binary(), *_comparisons(), *_logic(), *_elementwise(), *_reducers(), *_arrays())
EXCUSED = {
    "array_create_labeled": "gives values with labels, which lists do not have",
    "array_find_label": "finds labels, which lists do not have",
    "fit_curve": "takes a function; its own tests",
    "inspect": "passes on what it got",
    "run_udf": "runs a user's code; its own tests",
    **dict.fromkeys(("date_between", "date_difference", "date_shift"), "dates as text are no values of cubes"),
    **dict.fromkeys(("load_ml_model", "save_ml_model"), "is about models"),
    **dict.fromkeys(
        ("text_begins", "text_concat", "text_contains", "text_ends", "text_find"), "texts are no values of cubes"
    ),
}
