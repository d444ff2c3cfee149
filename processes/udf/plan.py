"""What users' code will return, found out before it runs on the cube.

The code's own `apply_metadata` says so; where it has none, the code is tried out in the sandbox, on a few pixels of
made-up values with all dates, bands and labels. Where that fails, it is taken to return what it gets: if it does not,
the run itself says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.overrides._dims import TEMPORAL_NAMES, X_NAMES, Y_NAMES
from processes.overrides.cubes import labels_array
from processes.udf.blocks import BANDS, made_up, result_type
from processes.udf.failures import told
from processes.udf.source import PROCESS
from udf.user_code import Answer, Expected, Given, UserCode, UserCodeError, ask, ask_metadata

# Pixels along y and x in a trial.
_FEW = 4
MOST_TRIED = 8_000_000
PLAN_SECONDS = 30.0


@dataclass(frozen=True)
class Foreseen:
    """What the code will return: a cube (`expected`; `features` for a vector cube) or plain data (None)."""

    expected: Expected | None
    features: Any = None


def foresee(
    code: UserCode,
    given: Given,
    sizes: Mapping[str, int],
    dtype: np.dtype[Any],
    env: Environment,
    values: Any = None,
) -> Foreseen:
    """Return what the code will make of a cube.

    Parameters
    ----------
    given : Given
        All of the cube.
    sizes : mapping
        Its size.
    values : array, optional
        Those of the cube where they are small and known already; else they are made up.
    """
    few = {d: min(n, _FEW) if d in (*X_NAMES, *Y_NAMES) and values is None else n for d, n in sizes.items()}
    _require_few(few)
    code = hurried(code)
    with told(env):
        if "apply_metadata" in code.source and given.features is None:
            found = _told_by_metadata(code, given, sizes, dtype, env)
            if found is not None:
                return Foreseen(found)
        tried = _cut(given, few)
        try:
            made = made_up(tried, few, dtype) if values is None else values
            answer = ask(code, tried, made, _silent)
        except UserCodeError as error:
            _say_failed(error, env)
            return Foreseen(Expected(given.dims, result_type(dtype)), given.features)
    return _seen(answer, tried, sizes, few, dtype)


def hurried(code: UserCode) -> UserCode:
    """Return the code with the time that it has while a graph is built: somebody waits for the answer."""
    rules = code.rules
    cpu, wall = min(rules.cpu_seconds, PLAN_SECONDS), min(rules.wall_seconds, 2 * PLAN_SECONDS)
    return replace(code, rules=replace(rules, cpu_seconds=cpu, wall_seconds=wall))


def _require_few(few: Mapping[str, int]) -> None:
    if int(np.prod([*few.values()])) > MOST_TRIED:
        sizes = ", ".join(f"{n} {d}" for d, n in few.items())
        reason = f"what the code returns for {sizes} cannot be tried out; define apply_metadata in it"
        raise invalid("udf", PROCESS, reason)


def _silent(_: dict[str, Any]) -> None:
    """What code says of made-up values is no news."""


def _say_failed(error: UserCodeError, env: Environment) -> None:
    text = (
        "A trial of the user-defined function on made-up values failed, so it is taken to keep all dimensions and "
        f"labels; define apply_metadata where it does not. {error.message}"
    )
    env.ledger.say({"level": "info", "code": "UDF", "message": text, "data": {"traceback": error.trace}})


def _cut(given: Given, few: Mapping[str, int]) -> Given:
    coords = {n: c.isel({d: slice(few[str(d)]) for d in c.dims}) for n, c in given.coords.items()}
    return Given(given.dims, coords, given.features)


def _seen(
    answer: Answer, given: Given, sizes: Mapping[str, int], few: Mapping[str, int], dtype: np.dtype[Any]
) -> Foreseen:
    """Return what a trial has shown."""
    if answer.kind == "value":
        return Foreseen(None)
    if answer.cube is None:
        return Foreseen(Expected((), result_type(dtype)), answer.features)
    cube, lengths, labels = answer.cube, {}, {}
    for dim in map(str, cube.dims):
        if dim in given.dims and cube.sizes[dim] == few[dim]:
            found = _new_labels(cube, dim, given)
            if found is not None and few[dim] == sizes[dim]:
                labels[dim] = found
            continue
        if dim in given.dims and few[dim] != sizes[dim]:
            reason = f"the code changes the number of pixels along '{dim}' ({few[dim]} became {cube.sizes[dim]})"
            raise invalid("udf", PROCESS, f"{reason}; define apply_metadata, or keep the pixels")
        lengths[dim] = int(cube.sizes[dim])
        known = dim in cube.coords and cube[dim].dims == (dim,)
        labels[dim] = np.asarray(cube[dim].values) if known else np.arange(lengths[dim])
    dims = tuple(map(str, cube.dims))
    return Foreseen(Expected(dims, result_type(dtype), lengths, labels), answer.features)


def _new_labels(cube: xr.DataArray, dim: str, given: Given) -> np.ndarray | None:
    """Return the labels that the code has given to a dimension, None where they are those that it had, or none."""
    if dim not in cube.coords or cube[dim].dims != (dim,):
        return None
    new, old = np.asarray(cube[dim].values), given.coords.get(dim)
    return None if old is not None and np.array_equal(new, np.asarray(old.values)) else new


def _told_by_metadata(
    code: UserCode, given: Given, sizes: Mapping[str, int], dtype: np.dtype[Any], env: Environment
) -> Expected | None:
    """Return what `apply_metadata` says; None where it does not say how long a dimension is."""
    before = [_described(dim, given, sizes) for dim in given.dims]
    after = ask_metadata(code, before, env.ledger.say)
    if after is None:
        return None
    old = {str(d["name"]): d for d in before}
    lengths, labels = {}, {}
    for dimension in after:
        name, now = str(dimension["name"]), dimension.get("labels")
        if now is None or (name in old and list(now) == old[name].get("labels")):
            if name not in old:
                return None
            continue
        labels[name] = _labels(list(now), name)
        if len(now) != sizes.get(name):
            lengths[name] = len(now)
    return Expected(tuple(str(d["name"]) for d in after), result_type(dtype), lengths, labels)


def _described(dim: str, given: Given, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return a dimension as `udf.guest.metadata` takes it."""
    labels: NDArray[Any] = np.asarray(given.coords[dim].values) if dim in given.coords else np.arange(sizes[dim])
    if dim in (*X_NAMES, *Y_NAMES):
        step = abs(float(labels[1] - labels[0])) if len(labels) > 1 else None
        return {"name": dim, "type": "spatial", "extent": [float(labels.min()), float(labels.max())], "step": step}
    if dim == BANDS:
        return {"name": dim, "type": "bands", "labels": [str(label) for label in labels]}
    if labels.dtype.kind == "M":
        return {"name": dim, "type": "temporal", "labels": labels.astype("datetime64[s]").astype(str).tolist()}
    kind = "temporal" if dim in TEMPORAL_NAMES else "other"
    return {"name": dim, "type": kind, "labels": labels.tolist()}


def _labels(labels: Sequence[Any], name: str) -> np.ndarray:
    """Return labels that metadata gave as an array; dates of a dimension of time become dates."""
    if len({*map(str, labels)}) != len(labels):
        raise OpenEOError("ProcessParameterInvalid", f"apply_metadata gives '{name}' the same label several times.")
    if name in TEMPORAL_NAMES and all(isinstance(label, str) for label in labels):
        try:
            return np.array([label.removesuffix("Z") for label in labels], "datetime64[ns]")
        except ValueError:
            pass
    return np.asarray(labels_array(list(labels)))
