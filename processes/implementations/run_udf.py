"""`run_udf`: users' code on the values of a callback, on a cube, or on plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.graph.pixels import PerPixel, array_of, has_pixels
from processes.graph.surroundings import Surroundings
from processes.overrides._dims import da, rebuild
from processes.udf.blocks import in_blocks, known_coords, require_room, result_type, usual_order
from processes.udf.failures import told
from processes.udf.plan import foresee, hurried
from processes.udf.source import PROCESS, plain_context, read_source, require_rules, require_runtime
from processes.udf.vector import run_on_vector_cube
from processes.vectors.cubes import geometry_dimensions
from udf.packages import read_script_block
from udf.user_code import Expected, Given, UserCode, UserCodeError, ask, run_for_value, run_on_blocks, run_on_whole


def run_udf(
    data: Any, udf: str, runtime: str, version: str | None = None, context: Any = None, *, env: Environment
) -> Any:
    """Run users' code.

    In a callback the code gets blocks of the cube with their dimensions, labels and coordinates, and all of the
    dimension that the callback is for; it returns one value for each, or an array along that dimension. Elsewhere it
    gets the whole cube in one call, of bounded size; plain data is given to it as `StructuredData`.

    Parameters
    ----------
    data : Any
        Values of a callback, a raster or vector cube, or plain data.
    udf : str
        Source code (with a line break), a URL, or the path of a file in the user's workspace.
    runtime, version : str
        ``Python`` in any case, and its version or the beginning of that.
    context
        Handed to the code as it is.
    env : Environment
        Its `udf` are the rules for users' code.

    Raises
    ------
    OpenEOError
        InvalidRuntime, InvalidVersion, FileNotFound, FeatureUnsupported where the operator runs no code,
        ProcessParameterInvalid for code that fails, ProcessGraphComplexity for too much at once.
    """
    rules = require_rules(env)
    require_runtime(runtime, version)
    source = read_source(udf, env, rules.code_bytes)
    with told(env):
        wanted = read_script_block(source, rules.packages is not None)
    code = UserCode(source, plain_context(context), rules, env.ledger.topic, wanted)
    env.ledger.runs_code = True
    if has_pixels(data):
        return _on_pixels(array_of(data) if isinstance(data, list) else data, code, env)
    if not isinstance(data, xr.DataArray):
        return _on_plain_data(data, code, env)
    if geometry_dimensions(data):
        return run_on_vector_cube(data, code, env)
    return _on_cube(data, replace(code, proj=_projection(data.coords)), env)


run_udf.takes_pixels = True  # type: ignore[attr-defined]


def _on_pixels(pixels: PerPixel, code: UserCode, env: Environment) -> PerPixel:
    """Run the code on values of a callback."""
    around = env.around or Surroundings("each")
    names = _names(pixels, around)
    variable = xr.Variable([names[d] for d in pixels.variable.dims], pixels.variable.data)
    order = usual_order(map(str, variable.dims))
    ordered = variable.transpose(*order)
    dim = None if pixels.dim is None else names[pixels.dim]
    coords = known_coords({str(d): n for d, n in ordered.sizes.items()}, around.coords)
    if dim is not None and pixels.labels is not None and len(pixels.labels) == ordered.sizes[dim]:
        coords[dim] = xr.Variable(dim, pixels.labels)
    given = Given(tuple(order), coords)
    code = replace(code, proj=_epsg(around.crs))
    values = in_blocks(ordered.data, order, dim, code.rules.memory)
    expected = _expected(given, dim, values, code, around, env)
    made = run_on_blocks(values, code, given, expected)
    return _as_pixels(made, expected, dim, names, pixels, around)


def _names(pixels: PerPixel, around: Surroundings) -> dict[Any, str]:
    """Return what the dimensions are called in the cube; arrays made in the callback have one called ``array``."""
    names: dict[Any, str] = {}
    for i, dim in enumerate(pixels.variable.dims):
        fallback = "array" if dim == pixels.dim else f"dimension_{i}"
        names[dim] = around.dims.get(dim, fallback)
    return names


def _expected(
    given: Given, dim: str | None, values: Any, code: UserCode, around: Surroundings, env: Environment
) -> Expected:
    """Return what the code must, or will, return for values of a callback."""
    same = Expected(given.dims, result_type(values.dtype))
    if dim is None or around.role in ("each", "window"):
        return same
    if around.role == "reduce" and around.is_direct:
        return replace(same, dims=tuple(d for d in given.dims if d != dim))
    sizes = dict(zip(given.dims, values.shape, strict=True))
    expected = foresee(code, given, sizes, values.dtype, env).expected
    if expected is None:
        reason = "the code returns plain data; in a callback it must return values of the cube"
        raise invalid("udf", PROCESS, reason)
    return _along(expected, given, dim)


def _along(expected: Expected, given: Given, dim: str) -> Expected:
    """Return the same with the dimension that the code works along called as it was; other ones must stay."""
    new = [d for d in expected.dims if d not in given.dims]
    if len(new) == 1 and dim not in expected.dims:
        back = {new[0]: dim}
        named = tuple(back.get(d, d) for d in expected.dims)
        sizes = {back.get(d, d): n for d, n in expected.sizes.items()}
        labels = {back.get(d, d): held for d, held in expected.labels.items()}
        expected, new = Expected(named, expected.dtype, sizes, labels), []
    others = {d for d in given.dims if d != dim}
    if new or not others <= {*expected.dims} or (others & {*expected.sizes}):
        found = ", ".join(expected.dims) or "none"
        reason = f"the code returns the dimensions {found} for {', '.join(given.dims)}; only '{dim}' may change here"
        raise invalid("udf", PROCESS, reason)
    dims = tuple(d for d in given.dims if d in expected.dims)
    return Expected(dims, expected.dtype, expected.sizes, {d: v for d, v in expected.labels.items() if d == dim})


def _as_pixels(
    made: Any, expected: Expected, dim: str | None, names: Mapping[Any, str], pixels: PerPixel, around: Surroundings
) -> PerPixel:
    back = {name: key for key, name in names.items()}
    variable = xr.Variable([back[d] for d in expected.dims], made)
    if dim is None or dim not in expected.dims:
        return PerPixel(variable)
    labels = expected.labels.get(dim)
    if labels is not None and around.is_direct:
        around.labels[dim] = labels
    kept = pixels.labels if len(pixels) == variable.sizes[back[dim]] else None
    return PerPixel(variable, back[dim], kept if labels is None else labels)


def _on_cube(cube: xr.DataArray, code: UserCode, env: Environment) -> Any:
    """Run the code on a whole cube in one call: the window of a callback, or all there is."""
    dims = usual_order(map(str, cube.dims))
    ordered = cube.transpose(*dims)
    require_room(ordered.data, dims, code.rules.memory)
    sizes = {d: ordered.sizes[d] for d in dims}
    given = Given(tuple(dims), known_coords(sizes, {str(n): c.variable for n, c in ordered.coords.items()}))
    values = ordered.data.rechunk(-1) if isinstance(ordered.data, da.Array) else ordered.data
    if env.around is not None and env.around.role == "window":
        made = run_on_whole(values, code, given, Expected(tuple(dims), result_type(ordered.dtype)))
        return rebuild(ordered, made, dims).transpose(*cube.dims)
    foreseen = foresee(code, given, sizes, ordered.dtype, env)
    if foreseen.expected is None:
        return run_for_value(values, code, given)
    expected = foreseen.expected
    made = run_on_whole(values, code, given, expected)
    return rebuild(ordered, made, expected.dims, expected.labels)


def _on_plain_data(data: Any, code: UserCode, env: Environment) -> Any:
    """Run the code on numbers, texts, arrays or objects, at once: what follows in the graph needs the answer."""
    value = data.tolist() if isinstance(data, np.ndarray | np.generic) else data
    try:
        plain_context(value)
    except OpenEOError:
        kind = type(data).__name__
        raise invalid("data", PROCESS, f"{kind} is neither a cube, nor values of one, nor plain data") from None
    with told(env):
        answer = ask(hurried(code), None, value, env.ledger.say)
        if answer.kind != "value":
            raise UserCodeError("the function must leave structured data in the UdfData, not a cube")
    return answer.value


def _projection(coords: Any) -> dict[str, Any]:
    reference = coords.get("spatial_ref")
    return {} if reference is None else _epsg(reference.attrs.get("crs_wkt"))


def _epsg(wkt: str | None) -> dict[str, Any]:
    """Return a reference system as the client's `UdfData` names it."""
    if wkt is None:
        return {}
    code = pyproj.CRS.from_user_input(wkt).to_epsg()
    return {"WKT": wkt} if code is None else {"EPSG": code}
