"""Random forests, fitted by scikit-learn in one task of the graph: `ml_fit_class_…` and `ml_fit_regr_random_forest`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.machine_learning._samples import Samples, read_samples
from processes.machine_learning.models import FittedModel, ModelCard, Task

CLASSIFY, REGRESS = "ml_fit_class_random_forest", "ml_fit_regr_random_forest"
VARIABLES = ("all", "log2", "onethird", "sqrt")
# scikit-learn counts seeds in 32 bits.
SEEDS = 2**32
# Predictions are float32, which holds whole numbers up to here.
LARGEST_CLASS = 2**24
MOST_TREES = 2000


def ml_fit_class_random_forest(
    predictors: Any,
    target: Any,
    max_variables: int | str,
    num_trees: int = 100,
    seed: int | None = None,
    *,
    env: Environment | None = None,
) -> FittedModel:
    """Train a random forest that tells classes, after Breiman (2001).

    Parameters
    ----------
    predictors : xr.DataArray
        A vector cube (geometry, features). Geometries that lack a number are left out.
    target : xr.DataArray, GeoDataFrame or GeoJSON
        The class of each geometry: whole numbers, or texts, which are numbered in their order.
    max_variables : int or str
        Features that a split chooses from: a number, ``all``, ``log2``, ``onethird`` or ``sqrt``.
    num_trees : int
    seed : int, optional
        The same seed and data give the same forest, on any cluster.
    env : Environment, optional
        Its ledger is told what the numbers of classes stand for.

    Returns
    -------
    FittedModel
        Nothing is computed yet.

    Raises
    ------
    OpenEOError
        DimensionMissing, ProcessParameterInvalid; NoDataAvailable when no geometry has all numbers (while computing).
    """
    samples = read_samples(predictors, target, CLASSIFY)
    if samples.classes and env is not None:
        told = ", ".join(f"{i} = {name}" for i, name in enumerate(samples.classes))
        env.ledger.say({"level": "info", "message": f"Classes of {CLASSIFY}: {told}."})
    return _forest("classification", CLASSIFY, samples, max_variables, num_trees, seed)


def ml_fit_regr_random_forest(
    predictors: Any, target: Any, max_variables: int | str, num_trees: int = 100, seed: int | None = None
) -> FittedModel:
    """Train a random forest that tells quantities; as `ml_fit_class_random_forest`, but the target holds numbers."""
    samples = read_samples(predictors, target, REGRESS)
    if samples.classes:
        some = ", ".join(map(repr, samples.classes[:3]))
        raise invalid("target", REGRESS, f"it holds texts ({some}), not numbers; to learn classes use {CLASSIFY}")
    return _forest("regression", REGRESS, samples, max_variables, num_trees, seed)


def _forest(
    task: Task, process: str, samples: Samples, max_variables: int | str, num_trees: int, seed: int | None
) -> FittedModel:
    _check(process, samples, max_variables, num_trees)
    options = {"max_variables": max_variables, "num_trees": int(num_trees), "seed": seed}
    card = ModelCard(task, "Random Forest", samples.names, samples.classes, options, samples.bbox)
    arguments = {
        "n_estimators": int(num_trees),
        "max_features": _max_features(max_variables, len(samples.names)),
        "random_state": usable_seed(seed),
    }
    fit = dask.delayed(fit_forest, pure=True)
    return FittedModel(card, fit(task, samples.features, samples.targets, arguments))


def fit_forest(task: Task, features: NDArray[Any], targets: NDArray[np.float64], arguments: Mapping[str, Any]) -> Any:
    """Return a fitted scikit-learn forest; rows (n, features) that are not complete are left out."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    rows = np.asarray(features, np.float64)
    complete = np.isfinite(rows).all(axis=1) & np.isfinite(targets)
    if not complete.any():
        process = REGRESS if task == "regression" else CLASSIFY
        message = (
            f"None of the {len(rows)} geometries passed to '{process}' has both a target and a number for each "
            "feature. Are they inside of the cube, and is there data?"
        )
        raise OpenEOError("NoDataAvailable", message)
    rows, targets = rows[complete], targets[complete]
    if task == "regression":
        return RandomForestRegressor(**arguments, n_jobs=1).fit(rows, targets)
    return RandomForestClassifier(**arguments, n_jobs=1).fit(rows, _class_numbers(targets))


def _class_numbers(targets: NDArray[np.float64]) -> NDArray[np.int64]:
    odd = targets[(targets != np.round(targets)) | (np.abs(targets) > LARGEST_CLASS)]
    if odd.size:
        reason = (
            f"{odd[0]:.9g} is no class, which must be whole numbers up to {LARGEST_CLASS}; for others use {REGRESS}"
        )
        raise invalid("target", CLASSIFY, reason)
    return targets.astype(np.int64)


def usable_seed(seed: int | None) -> int:
    """Return the seed as scikit-learn takes it; a random one for None.

    It is drawn while the graph is built, so that a task which has to run twice gives the same model twice.
    """
    return secrets.randbelow(SEEDS) if seed is None else seed % SEEDS


def _max_features(max_variables: int | str, features: int) -> Any:
    if max_variables == "onethird":
        return max(1, features // 3)
    return None if max_variables == "all" else max_variables


def _check(process: str, samples: Samples, max_variables: int | str, num_trees: int) -> None:
    count = len(samples.names)
    if isinstance(max_variables, str) and max_variables not in VARIABLES:
        reason = f"{max_variables!r} is none of {', '.join(VARIABLES)}"
        raise invalid("max_variables", process, f"{reason}, and no whole number from 1 on")
    if not isinstance(max_variables, str) and not 1 <= max_variables <= count:
        reason = f"{max_variables} is not between 1 and {count}, the number of features of the predictors"
        raise invalid("max_variables", process, reason)
    if not 1 <= num_trees <= MOST_TREES:
        raise invalid("num_trees", process, f"{num_trees} is not between 1 and {MOST_TREES}")
    if not len(samples.features):
        raise invalid("predictors", process, "it has no geometries; add training sites")
