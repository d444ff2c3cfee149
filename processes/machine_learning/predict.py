"""`ml_predict`: a model run on each pixel (or geometry) of a cube, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.environment import Environment, Halo
from processes.errors import OpenEOError, invalid
from processes.implementations.multimodal_embed import halo as embedding_halo
from processes.implementations.multimodal_embed import multimodal_embed
from processes.machine_learning.models import FittedModel, ModelHandle
from processes.overrides._dims import labels_of, rebuild, require_cube, require_dimension

PROCESS = "ml_predict"
PREDICTIONS = "predictions"

da: Any = dask.array


def ml_predict(
    data: xr.DataArray,
    model: Any,
    dimensions: Sequence[str],
    *,
    env: Environment,
    wide: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Apply a machine-learning model to a cube.

    Parameters
    ----------
    data : xr.DataArray
        Holds the model's features along `dimensions`. A single dimension has them by name, in any order; several are
        taken as they are, the last one running fastest. Without any, each value is the only feature.
    model : FittedModel or ModelHandle
    dimensions : sequence of str
        What the model reduces; ``["bands"]`` for the back-end's embedding models.
    env : Environment
    wide : mapping, optional
        `data` loaded with the surroundings that an embedding looks at.

    Returns
    -------
    xr.DataArray
        Lazy float32, with the dimension `predictions` in place of `dimensions`; NaN where a feature is missing. Its
        only label is ``0``; those of an embedding are the bands that `multimodal_embed` returns.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, LabelNotAvailable, ProcessParameterInvalid; for embeddings those of `multimodal_embed`.
    """
    cube = require_cube(data, PROCESS)
    names = [require_dimension(cube, name, PROCESS, "dimensions") for name in dimensions]
    if len(set(names)) < len(names):
        raise invalid("dimensions", PROCESS, f"{', '.join(names)} names a dimension twice")
    if PREDICTIONS in cube.dims and PREDICTIONS not in names:
        raise invalid("data", PROCESS, f"the cube has a dimension '{PREDICTIONS}' already; rename it first")
    if isinstance(model, ModelHandle):
        return _embed(cube, model, names, env, wide)
    if not isinstance(model, FittedModel):
        reason = "it is no model; pass what ml_fit_class_random_forest, ml_fit_kmeans or load_ml_model returned"
        raise invalid("model", PROCESS, reason)
    return _predict(cube, model, names)


def halo(arguments: Mapping[str, Any], env: Environment) -> Halo | None:
    """How far the model looks round a pixel and date: embedding models only."""
    model = arguments.get("model")
    return embedding_halo({"model": model}, env) if isinstance(model, ModelHandle) else None


ml_predict.halo_of = ("data",)  # type: ignore[attr-defined]
ml_predict.halo = halo  # type: ignore[attr-defined]


def _embed(
    cube: xr.DataArray, model: ModelHandle, names: list[str], env: Environment, wide: Mapping[str, Any] | None
) -> xr.DataArray:
    if names != ["bands"]:
        reason = f"the embedding model '{model.name}' reduces the bands alone; pass [\"bands\"]"
        raise invalid("dimensions", PROCESS, reason)
    embedded = multimodal_embed(cube, model=model.name, env=env, wide=wide)
    return embedded.rename(bands=PREDICTIONS)


def _predict(cube: xr.DataArray, model: FittedModel, names: list[str]) -> xr.DataArray:
    chosen = _with_features(cube, names, model.card.features)
    rest = [str(d) for d in cube.dims if d not in names]
    ordered = chosen.transpose(*rest, *names)
    values = da.asarray(ordered.data).rechunk(dict.fromkeys(range(len(rest), ordered.ndim), -1))
    # Blocks lose the axes of features and get one of length 1.
    predicted = da.map_blocks(
        predict_block,
        values,
        model.estimator,
        axes=len(names),
        dtype=np.float32,
        chunks=(*values.chunks[: len(rest)], (1,)),
        drop_axis=list(range(len(rest), values.ndim)),
        new_axis=[len(rest)],
        meta=np.empty((0,) * (len(rest) + 1), np.float32),
    )
    result = rebuild(ordered, predicted, [*rest, PREDICTIONS], {PREDICTIONS: ["0"]}).rename(None)
    result.attrs = {}
    return result.transpose(*_order(cube, names))


def _order(cube: xr.DataArray, names: list[str]) -> list[str]:
    """Return the result's dimensions: the predictions stand where the first reduced dimension stood."""
    dims = [PREDICTIONS if d in names else str(d) for d in cube.dims]
    dims = list(dict.fromkeys(dims))
    return (
        dims
        if names
        else [*(d for d in dims if d not in ("y", "x")), PREDICTIONS, *(d for d in ("y", "x") if d in dims)]
    )


def _with_features(cube: xr.DataArray, names: list[str], features: tuple[str, ...]) -> xr.DataArray:
    """Return the cube with the model's features in their order."""
    if len(names) != 1:
        count = int(np.prod([cube.sizes[name] for name in names]))
        if count != len(features):
            reason = f"they hold {count} features, but the model was trained on {len(features)}: {_listed(features)}"
            raise invalid("dimensions", PROCESS, reason)
        return cube
    labels = [str(label) for label in labels_of(cube, names[0])]
    missing = [name for name in features if name not in labels]
    if missing:
        raise OpenEOError(
            "LabelNotAvailable",
            f"The model passed to '{PROCESS}' needs {_listed(missing)} along '{names[0]}', but the cube has "
            f"{_listed(labels)}. Predict on the features that the model was trained on, or rename the labels.",
        )
    positions = [labels.index(name) for name in features]
    return cube if positions == list(range(len(labels))) else cube.isel({names[0]: positions})


def predict_block(values: NDArray[Any], estimator: Any, axes: int) -> NDArray[np.float32]:
    """Predict one block: (..., features of `axes` axes) to (..., 1)."""
    lead = values.shape[: values.ndim - axes]
    rows = np.asarray(values, np.float64).reshape(int(np.prod(lead)), -1)
    complete = np.isfinite(rows).all(axis=1)
    predicted = np.full(len(rows), np.nan, np.float32)
    if complete.any():
        predicted[complete] = estimator.predict(rows[complete])
    return predicted.reshape(*lead, 1)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
