"""The process `multimodal_embed`: checks, finds each sensor's bands, and plans the embedding on the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.card import QUALITY, Modality, ModelCard
from models.folders import ModelNotFound
from models.frames.windows import EDGE, FRAMES
from processes.cube_checks import DIMENSIONS, band_labels, missing_bands, require_dates, require_dimensions
from processes.environment import Environment, Halo
from processes.errors import OpenEOError, invalid
from processes.grids import overlaps, to_grid_of
from processes.machine_learning.models import ModelHandle
from udf import ModelReference, SensorCube, embed_lazily

PROCESS = "multimodal_embed"
CLASSES = "SCL"
# A window's outermost frames need their Sentinel-1 partner, and that one its own neighbours in time: with one
# orbit every 12 days, and one pass lost, 30 days hold them.
PARTNER_DAYS = 30
# What an embedding with quality counts in estimates and limits: 2.9 times the work was measured on a CPU.
QUALITY_WORK = 3


def multimodal_embed(
    data: xr.DataArray,
    others: Sequence[xr.DataArray] = (),
    model: str | ModelHandle | None = None,
    mask_clouds: bool = True,
    quality: bool = False,
    *,
    env: Environment,
    wide: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Embed `data`; see the process's specification for the parameters.

    Parameters
    ----------
    wide : mapping, optional
        `data` and `others` loaded with the halo round what was asked for; by default there is none.

    Returns
    -------
    xr.DataArray
        Lazy (t, bands, y, x) float32 with the labels ``F01``... on the grid and at the dates of `data`; with `quality`
        also ``valid_fraction`` and ``reconstruction_error``.
    """
    reference = _find_model(env, model)
    if quality and not reference.card.decoders:
        reason = f"the model '{reference.card.name}' was imported without decoders and cannot tell it; leave it out"
        raise invalid("quality", PROCESS, reason)
    surroundings = (wide or {}).get("data", data), list((wide or {}).get("others", others))
    for cubes in ((data, list(others)), surroundings):
        _check_cubes(*cubes)
    around, partners = surroundings
    if not _contains(around, data):
        around, partners = data, list(others)
    sensors = _sensors(reference.card, around, partners)
    _check_dates(reference.card, around, sensors)
    order = np.argsort(data["t"].values)
    values = _embed(reference, around, sensors, data.isel(t=order), mask_clouds, quality)
    env.ledger.embeddings += data.sizes["t"] * data.sizes["y"] * data.sizes["x"] * (QUALITY_WORK if quality else 1)
    labels = [*reference.card.labels, *(QUALITY if quality else ())]
    return _as_cube(values, labels, data, order)


def halo(arguments: Mapping[str, Any], env: Environment) -> Halo:
    """How far an embedding looks: 7 pixels, and the model's reach in time with room for Sentinel-1's neighbours."""
    card = _find_model(env, arguments.get("model")).card
    return Halo(pixels=EDGE, days=card.reach_days + PARTNER_DAYS)


multimodal_embed.halo_of = ("data", "others")  # type: ignore[attr-defined]
multimodal_embed.halo = halo  # type: ignore[attr-defined]


def _find_model(env: Environment, model: str | ModelHandle | None) -> ModelReference:
    if model is not None and not isinstance(model, str | ModelHandle):
        raise invalid("model", PROCESS, "it was trained by a process graph; run it with ml_predict")
    try:
        return env.models.get(model.name if isinstance(model, ModelHandle) else model)
    except ModelNotFound as error:
        raise OpenEOError("ModelNotFound", f"{error} Pass one of them as `model` of '{PROCESS}'.") from error


def _check_cubes(data: xr.DataArray, others: Sequence[xr.DataArray]) -> None:
    for name, cube in [("data", data), *((f"others[{i}]", c) for i, c in enumerate(others))]:
        require_dimensions(cube, name, PROCESS)
        require_dates(cube, name, PROCESS)


def _contains(around: xr.DataArray, data: xr.DataArray) -> bool:
    """Whether `around` has all dates of `data`, and its pixels in one piece."""
    if not np.isin(data["t"].values, around["t"].values).all():
        return False
    return all(np.array_equal(around[axis].values[_run(around, data, axis)], data[axis].values) for axis in ("y", "x"))


def _run(around: xr.DataArray, data: xr.DataArray, axis: str) -> slice:
    """Where `data` begins along an axis of `around`, and as many pixels as it has from there on."""
    found = np.flatnonzero(around[axis].values == data[axis].values[0])
    begin = int(found[0]) if len(found) else 0
    return slice(begin, begin + data.sizes[axis])


def _sensors(
    card: ModelCard, data: xr.DataArray, others: Sequence[xr.DataArray]
) -> dict[str, tuple[Modality, xr.DataArray]]:
    """The cube that holds each sensor's bands; `data` must hold those of the reference."""
    found = {}
    taken: set[tuple[int, str]] = set()  # a band of a cube serves one sensor: names may recur from sensor to sensor
    for sensor in sorted(card.modalities, key=lambda m: m.id != card.reference):
        candidates = [data] if sensor.id == card.reference else [*others, data]
        free = (c for c in candidates if not any((id(c), band) in taken for band in sensor.bands))
        cube = next((c for c in free if not missing_bands(c, sensor.bands)), None)
        if cube is None and sensor.optional and sensor.id != card.reference:
            continue
        if cube is None:
            raise OpenEOError("LabelNotAvailable", _missing_message(card, sensor, candidates))
        taken |= {(id(cube), band) for band in sensor.bands}
        found[sensor.id] = (sensor, cube)
    return {m.id: found[m.id] for m in card.modalities if m.id in found}


def _missing_message(card: ModelCard, sensor: Modality, cubes: Sequence[xr.DataArray]) -> str:
    closest = min(cubes, key=lambda c: len(missing_bands(c, sensor.bands)))
    where = "`data`" if sensor.id == card.reference else "`others` or `data`"
    have = "; ".join(", ".join(band_labels(c)) for c in cubes)
    lacking = missing_bands(closest, sensor.bands)
    what = f"{', '.join(lacking)} is not available" if lacking else "those that there are serve another sensor already"
    needed = f"The model '{card.name}' needs the bands {sensor} in {where} of '{PROCESS}'"
    return f"{needed}, but {what}. Bands there are: {have}."


def _check_dates(card: ModelCard, data: xr.DataArray, sensors: Mapping[str, tuple[Modality, xr.DataArray]]) -> None:
    if data.sizes["t"] < FRAMES:
        raise OpenEOError(
            "NoDataAvailable",
            f"`data` of '{PROCESS}' holds {data.sizes['t']} Sentinel-2 date(s), surroundings included, but an "
            f"embedding needs {FRAMES}: five before its date and five after it. Widen the temporal extent, up to "
            f"{card.reach_days} days on each side, or filter fewer dates.",
        )
    for sensor, cube in sensors.values():
        if cube is data:
            continue
        if not overlaps(cube, data):
            raise OpenEOError(
                "IncompatibleDataCubes",
                f"The cube with {', '.join(sensor.bands)} in `others` of '{PROCESS}' does not overlap `data` in space. "
                f"Load both for the same extent.",
            )
        if cube.sizes["t"] == 0 or not _meet(cube["t"].values, data["t"].values, card.reach_days):
            raise OpenEOError(
                "IncompatibleDataCubes",
                f"The cube with {', '.join(sensor.bands)} in `others` of '{PROCESS}' has no date within "
                f"{card.reach_days} days of those of `data`. Load both for the same interval.",
            )


def _meet(ours: NDArray[np.datetime64], theirs: NDArray[np.datetime64], days: int) -> bool:
    reach = np.timedelta64(days, "D")
    return bool(ours.min() <= theirs.max() + reach and theirs.min() <= ours.max() + reach)


def _embed(
    model: ModelReference,
    around: xr.DataArray,
    sensors: Mapping[str, tuple[Modality, xr.DataArray]],
    data: xr.DataArray,
    mask_clouds: bool,
    quality: bool,
) -> da.Array:
    """The embeddings of `data` (its dates ascending) with `around` as context: (bands, t, y, x)."""
    cubes = {}
    for id, (sensor, cube) in sensors.items():
        gridded = (cube if cube is around else to_grid_of(cube, around)).sortby("t")
        masked = mask_clouds and id == model.card.reference and CLASSES in band_labels(gridded)
        values = gridded.sel(bands=[*sensor.bands, *([CLASSES] if masked else [])])
        cubes[id] = SensorCube(_lazy(values.transpose("bands", "t", "y", "x")), gridded["t"].values, masked)
    wanted = np.isin(cubes[model.card.reference].times, data["t"].values)
    return embed_lazily(model, cubes, wanted, _run(around, data, "y"), _run(around, data, "x"), quality=quality)


def _lazy(cube: xr.DataArray) -> da.Array:
    lazy: da.Array = da.asarray(cube.data)
    return lazy


def _as_cube(values: da.Array, labels: list[str], data: xr.DataArray, order: NDArray[np.intp]) -> xr.DataArray:
    like = data.isel(bands=0, drop=True)
    coords = {name: c for name, c in like.coords.items() if set(c.dims) <= {"t", "y", "x"}}
    cube = xr.DataArray(values, dims=("bands", "t", "y", "x"), coords={"bands": labels, "t": data["t"].values[order]})
    back = np.argsort(order)
    return cube.isel(t=back).assign_coords(coords).transpose(*DIMENSIONS)
