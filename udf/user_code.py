"""Users' code on the blocks of a lazy cube: each block goes into the sandbox, and what comes back is held to the plan.

`UserCode` is what travels in a task. A worker keeps one sandbox for each code of a request; blocks follow one another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed

from udf.guest.cubes import pack, unpack
from udf.guest.features import pack_features, unpack_features
from udf.rules import UserCodeRules
from udf.telling import Telling, room_of

logger = logging.getLogger("udf.user_code")

LEVELS = ("debug", "info", "warning", "error")
Log = Callable[[dict[str, Any]], None]


class UserCodeError(Exception):
    """A user's code failed, or gave something else than was planned; `trace` are the user's own frames."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message, trace)
        self.message = message
        self.trace = trace


class UserCodeLimit(Exception):
    """A user's code was stopped: it needs more time, memory or room than it may have, or the sandbox failed."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message, kind)
        self.message = message
        self.kind = kind


@dataclass(frozen=True)
class UserCode:
    """A user's code as it travels in a task.

    Parameters
    ----------
    source : str
    context : JSON data
    rules : UserCodeRules
    topic : str
        Where its messages are sent; the sandbox is kept under this name, so that no two requests share one.
    dependencies : tuple of str
        Packages that it asks for.
    proj : mapping
        The reference system, as ``{"EPSG": 32631}``.
    """

    source: str
    context: Any
    rules: UserCodeRules
    topic: str
    dependencies: tuple[str, ...] = ()
    proj: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """Dimensions and coordinates of what goes in; `features` are the packed geometries of a vector cube."""

    dims: tuple[str, ...]
    coords: Mapping[str, xr.Variable]
    features: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Expected:
    """What comes out: dimensions and, where they are not as they were, their labels (or only how many).

    `sizes` has an entry for each dimension whose length is not that of what goes in.
    """

    dims: tuple[str, ...]
    dtype: np.dtype[Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


def run_on_blocks(values: da.Array, code: UserCode, given: Given, expected: Expected) -> da.Array:
    """Return what the code makes of each block.

    Dimensions that are not among those of `expected`, and those of another length, must lie in one block.
    """
    gone = [i for i, dim in enumerate(given.dims) if dim not in expected.dims]
    kept = [dim for dim in given.dims if dim in expected.dims]
    chunks = {dim: values.chunks[given.dims.index(dim)] for dim in kept}
    chunks.update({dim: (size,) for dim, size in expected.sizes.items()})
    name = f"run-udf-{uuid4().hex}"
    made: da.Array = da.map_blocks(
        _block,
        values,
        code=code,
        given=given,
        expected=expected,
        call=name,
        name=name,
        dtype=expected.dtype,
        chunks=tuple(chunks[dim] for dim in expected.dims),
        drop_axis=gone,
        meta=np.empty((0,) * len(expected.dims), expected.dtype),
    )
    return made


def run_on_whole(values: Any, code: UserCode, given: Given, expected: Expected) -> da.Array:
    """Return what the code makes of a whole cube in one call; dimensions may be new ones."""
    sizes = {**dict(zip(given.dims, map(int, values.shape), strict=True)), **expected.sizes}
    shape = tuple(sizes[dim] for dim in expected.dims)
    task, name = dask.delayed(_whole, pure=False, traverse=False), f"run-udf-{uuid4().hex}"
    part = task(values, code, given, expected, name, dask_key_name=name)
    made: da.Array = da.from_delayed(part, shape, expected.dtype)
    return made


def run_for_value(values: Any, code: UserCode, given: Given) -> Delayed:
    """Return the plain data that the code makes of a whole cube in one call, lazily."""
    task, name = dask.delayed(_value, pure=False, traverse=False), f"run-udf-{uuid4().hex}"
    made: Delayed = task(values, code, given, name, dask_key_name=name)
    return made


def _block(
    block: np.ndarray, code: UserCode, given: Given, expected: Expected, call: str, block_info: Any = None
) -> np.ndarray:
    """Run the code on one block; `call` names all blocks together."""
    place = {d: slice(*span) for d, span in zip(given.dims, block_info[0]["array-location"], strict=True)}
    coords = {name: c.isel({d: place[d] for d in c.dims if d in place}) for name, c in given.coords.items()}
    call = "-".join(map(str, (call, *block_info[None]["chunk-location"])))
    return _whole(block, code, Given(given.dims, coords, given.features), expected, call)


def _whole(values: np.ndarray, code: UserCode, given: Given, expected: Expected, call: str) -> np.ndarray:
    with _telling(code.topic, call) as log:
        answer = ask(code, given, np.asarray(values), log)
    sizes = dict(zip(given.dims, np.shape(values), strict=True))
    return fitted(answer, sizes, expected)


def _value(values: np.ndarray, code: UserCode, given: Given, call: str) -> Any:
    with _telling(code.topic, call) as log:
        answer = ask(code, given, np.asarray(values), log)
    if answer.kind != "value":
        raise UserCodeError("the function returned a cube where a trial gave plain data; let it always return the same")
    return answer.value


@dataclass(frozen=True)
class Answer:
    """What the code gave: a cube (perhaps with `features`) or plain data."""

    kind: str
    cube: xr.DataArray | None = None
    features: Any = None
    value: Any = None


def ask(code: UserCode, given: Given | None, values: Any, log: Log) -> Answer:
    """Run the code once, in the sandbox of this process."""
    request: dict[str, Any] = {"do": "apply", "code": code.source, "context": code.context, "proj": dict(code.proj)}
    arrays = []
    if given is None:
        request["value"] = values
    else:
        header, array = pack(xr.DataArray(values, dims=given.dims, coords=dict(given.coords)))
        request["cube"], arrays = header, [array]
        if given.features is not None:
            request["features"] = given.features
    answer, made = _called(code, request, arrays, log)
    if answer["kind"] == "value":
        return Answer("value", value=answer["value"])
    features = unpack_features(answer["features"]) if "features" in answer else None
    return Answer("cube", unpack(answer["cube"], made[0]) if "cube" in answer else None, features)


def ask_metadata(code: UserCode, dimensions: Sequence[Mapping[str, Any]], log: Log) -> Any:
    """Return what ``apply_metadata`` of the code says of the dimensions of the result; None where there is none."""
    request = {"do": "metadata", "code": code.source, "context": code.context, "dimensions": list(dimensions)}
    return _called(code, request, [], log)[0]["dimensions"]


def _called(
    code: UserCode, request: dict[str, Any], arrays: list[np.ndarray], log: Log
) -> tuple[dict[str, Any], list[np.ndarray]]:
    from udf.isolation import call_sandboxed

    answer, made = call_sandboxed(code, request, arrays, log)
    if answer["kind"] == "error":
        if answer.get("traceback"):
            data = {"traceback": answer["traceback"]}
            log({"level": "error", "code": "UDF", "message": answer["message"], "data": data})
        raise UserCodeError(answer["message"], answer.get("traceback", ""))
    return answer, made


@contextmanager
def _telling(topic: str, call: str) -> Iterator[Log]:
    """Give what sends messages of a call to whoever listens to the topic; outside a worker they are the process's."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        yield lambda entry: logger.log(logging.INFO, "%s", json.dumps(entry, default=str))
        return
    with Telling(lambda batch: worker.log_event(topic, batch), call, room_of(topic)) as telling:
        yield telling.say


def fitted(answer: Answer, sizes: Mapping[str, int], expected: Expected) -> np.ndarray:
    """Return the values of what the code gave, in the planned order; `UserCodeError` where it is something else.

    `sizes` are those of what went in.
    """
    if answer.cube is None:
        raise UserCodeError("the function returned no cube; let it return an xarray.DataArray")
    cube = answer.cube
    wanted = {dim: expected.sizes.get(dim, sizes.get(dim)) for dim in expected.dims}
    cube = cube.squeeze([d for d in cube.dims if d not in wanted and cube.sizes[d] == 1], drop=True)
    strange = [d for d in cube.dims if d not in wanted]
    lacking = [d for d in wanted if d not in cube.dims]
    if len(strange) == len(lacking) == 1:
        cube = cube.rename({strange[0]: lacking[0]})
    elif not strange:
        cube = cube.expand_dims([d for d in lacking if wanted[d] == 1])
    if set(cube.dims) != set(wanted) or any(cube.sizes[d] != n for d, n in wanted.items()):
        raise UserCodeError(
            f"the function returned a cube of {_text(cube.sizes)} where {_text(wanted)} was expected of one of "
            f"{_text(sizes)}"
        )
    cube = cube.transpose(*expected.dims)
    for dim, labels in expected.labels.items():
        _require_labels(cube, dim, labels)
    return _cast(np.asarray(cube.values), expected.dtype)


def _require_labels(cube: xr.DataArray, dim: str, labels: np.ndarray) -> None:
    if dim not in cube.coords or cube[dim].dtype.kind != labels.dtype.kind or dim not in cube[dim].dims:
        return
    found = np.asarray(cube[dim].values)
    if labels.dtype.kind in "UM" and not np.array_equal(found, labels):
        raise UserCodeError(
            f"the labels of '{dim}' are {_some(found)} in one part of the cube and {_some(labels)} in another; let "
            "them not depend on values, or define apply_metadata"
        )


def _cast(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if values.dtype.kind in "iu" and dtype.kind == "f" and values.size:
        most = max(abs(int(values.min())), abs(int(values.max())))
        if most > 2 ** (np.finfo(dtype).nmant + 1):
            raise UserCodeError(f"the function returned integers of up to {most}, more than {dtype} holds exactly")
    if values.dtype.kind not in "biuf":
        raise UserCodeError(f"the function returned values of type {values.dtype}, not numbers")
    with np.errstate(all="ignore"):
        return values.astype(dtype, copy=False)


def _text(sizes: Mapping[Any, Any]) -> str:
    return " x ".join(f"{name} {size}" for name, size in sizes.items()) or "one value"


def _some(labels: np.ndarray) -> str:
    return ", ".join(map(str, labels[:5])) + (", ..." if len(labels) > 5 else "")


def packed_features(frame: Any) -> Mapping[str, Any]:
    """Return geometries and properties (a GeoDataFrame) as they travel."""
    return pack_features(frame)
