"""Vector cubes: arrays with a dimension of geometries (xvec), features' properties as coordinates along it.

May import shapely, xarray and `processes.sources.extents`; nothing is computed but geometries and labels.
"""

from __future__ import annotations

from processes.vectors.filter import filter_vector
from processes.vectors.geojson import load_geojson
from processes.vectors.random_points import vector_to_random_points
from processes.vectors.regular_points import vector_to_regular_points
from processes.vectors.transform import vector_buffer, vector_reproject

__all__ = [
    "filter_vector",
    "load_geojson",
    "vector_buffer",
    "vector_reproject",
    "vector_to_random_points",
    "vector_to_regular_points",
]
