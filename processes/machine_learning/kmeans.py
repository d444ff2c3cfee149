"""`ml_fit_kmeans`: groups of pixels that resemble each other, found without training sites."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.machine_learning._pixels import feature_blocks, sample_rows
from processes.machine_learning.forests import usable_seed
from processes.machine_learning.models import FittedModel, ModelCard
from processes.overrides._dims import labels_of, require_cube, require_dimension
from processes.sources.extents import transformed_bounds

PROCESS = "ml_fit_kmeans"
# Centres of some dozen groups do not move any more with larger samples, which would take long in one task.
SAMPLE = 20_000
MOST_CLUSTERS = 200
# Starts of the search, of which the best counts.
STARTS = 4


def ml_fit_kmeans(
    data: xr.DataArray, n_clusters: int, dimension: str = "bands", seed: int | None = None
) -> FittedModel:
    """Find groups by k-means (Lloyd) on a uniform sample of up to 20 000 complete pixels and dates.

    Parameters
    ----------
    data : xr.DataArray
    n_clusters : int
        `ml_predict` numbers the groups 0, 1, 2, ..., from the largest in the sample to the smallest.
    dimension : str
        Along which the features lie; distances are Euclidean in them, as they are.
    seed : int, optional
        The same seed and data give the same groups, in any chunks and on any cluster.

    Returns
    -------
    FittedModel
        Nothing is computed yet.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, ProcessParameterInvalid; NoDataAvailable where there are fewer different complete pixels
        than groups (while computing).
    """
    cube = require_cube(data, PROCESS)
    name = require_dimension(cube, dimension, PROCESS)
    if not 2 <= n_clusters <= MOST_CLUSTERS:
        raise invalid("n_clusters", PROCESS, f"{n_clusters} is not between 2 and {MOST_CLUSTERS}")
    if cube.size == 0:
        raise OpenEOError("NoDataAvailable", f"The cube passed to '{PROCESS}' is empty; choose a larger extent.")
    values, _ = feature_blocks(cube, name)
    features = tuple(str(label) for label in labels_of(cube, name))
    random = usable_seed(seed)
    sample = sample_rows(values, SAMPLE, random)
    options = {"n_clusters": int(n_clusters), "seed": seed}
    card = ModelCard("clustering", "k-means", features, options=options, bbox=_bbox(cube))
    return FittedModel(card, dask.delayed(fit_kmeans, pure=True)(sample, int(n_clusters), random))


def fit_kmeans(rows: NDArray[np.float64], n_clusters: int, seed: int) -> Any:
    """Return scikit-learn's fitted KMeans for rows (n, features), the centre of the largest group first."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    different = len(np.unique(rows, axis=0))
    if different < n_clusters:
        message = (
            f"There are {different} different complete pixels, too few for the {n_clusters} groups of '{PROCESS}'; "
            "load more data."
        )
        raise OpenEOError("NoDataAvailable", message)
    # Sums of several threads would be rounded differently on other machines.
    with threadpool_limits(1):
        found = KMeans(n_clusters, n_init=STARTS, random_state=seed).fit(rows)
    sizes = np.bincount(found.labels_, minlength=n_clusters)
    found.cluster_centers_ = found.cluster_centers_[np.argsort(-sizes, kind="stable")]
    found.labels_ = np.empty(0, np.int32)  # of the sample: no use any more
    return found


def _bbox(cube: xr.DataArray) -> tuple[float, float, float, float] | None:
    if not {"x", "y"} <= set(cube.dims) or cube.odc.crs is None:
        return None
    x, y = cube["x"].to_numpy(), cube["y"].to_numpy()
    return transformed_bounds((x.min(), y.min(), x.max(), y.max()), str(cube.odc.crs), "EPSG:4326")
