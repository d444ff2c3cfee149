"""The processes that this back-end offers: one table from id to function, and where the specification comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any

from processes.graph.package import Process, ProcessRegistry

# isort: split
# The parser package comes first: it keeps Python's recursion limit, which openeo-processes-dask would have raised.
from openeo_processes_dask.process_implementations import math

from processes.implementations.load_collection import load_collection
from processes.implementations.load_result import load_result
from processes.implementations.load_stac import load_stac
from processes.implementations.load_uploaded_files import load_uploaded_files
from processes.implementations.load_url import load_url
from processes.implementations.multimodal_embed import multimodal_embed
from processes.implementations.run_udf import run_udf
from processes.machine_learning.forests import ml_fit_class_random_forest, ml_fit_regr_random_forest
from processes.machine_learning.kmeans import ml_fit_kmeans
from processes.machine_learning.predict import ml_predict
from processes.machine_learning.principal_components import principal_components
from processes.machine_learning.save import load_ml_model, save_ml_model
from processes.overrides import (
    aggregate_period,
    aggregate_spatial,
    aggregate_temporal,
    apply,
    arrays,
    climatology,
    comparison,
    cubes,
    curves,
    dates,
    each,
    filters,
    kernel,
    labelled,
    logic,
    mask,
    merge,
    messages,
    order,
    polygons,
    quantiles,
    reduce,
    resample,
    series,
    shape,
    statistics,
    texts,
    trim,
    windows,
)
from processes.overrides import math as arithmetic
from processes.overrides.elementwise import on_numbers
from processes.ready_made import read_ready_made
from processes.vectors import (
    filter_vector,
    load_geojson,
    vector_buffer,
    vector_reproject,
    vector_to_random_points,
    vector_to_regular_points,
)

Functions = Mapping[str, Callable[..., Any]]


def _round(x: Any, p: int = 0) -> Any:
    return on_numbers(partial(math._round, p=int(p)))(x)


def _nan() -> float:
    return float("nan")


# As they come with openeo-processes-dask.
BASE: Functions = {
    **{
        id: on_numbers(getattr(math, id))
        for id in (
            "absolute", "add", "arccos", "arcosh", "arcsin", "arctan", "arctan2", "arsinh", "artanh", "ceil", "cos",
            "cosh", "divide", "exp", "floor", "ln", "log", "multiply", "sgn", "sin", "sinh", "sqrt", "subtract", "tan",
            "tanh",
        )
    },
    "constant": math.constant,
    "e": math.e,
    "pi": math.pi,
    "round": _round,
}  # fmt: skip

# Where that package's are missing, break the specification or compute while the graph is built.
OVERRIDES: Functions = {
    "add_dimension": cubes.add_dimension,
    "aggregate_spatial": aggregate_spatial.aggregate_spatial,
    "aggregate_spatial_window": windows.aggregate_spatial_window,
    "aggregate_temporal": aggregate_temporal.aggregate_temporal,
    "aggregate_temporal_period": aggregate_period.aggregate_temporal_period,
    "all": logic.all_,
    "and": logic.and_,
    "anomaly": climatology.anomaly,
    "any": logic.any_,
    "apply": apply.apply,
    "apply_dimension": apply.apply_dimension,
    "apply_kernel": kernel.apply_kernel,
    "apply_neighborhood": apply.apply_neighborhood,
    "apply_polygon": polygons.apply_polygon,
    "array_append": labelled.array_append,
    "array_apply": each.array_apply,
    "array_concat": labelled.array_concat,
    "array_contains": arrays.array_contains,
    "array_create": arrays.array_create,
    "array_create_labeled": labelled.array_create_labeled,
    "array_element": arrays.array_element,
    "array_filter": each.array_filter,
    "array_find": arrays.array_find,
    "array_find_label": labelled.array_find_label,
    "array_interpolate_linear": series.array_interpolate_linear,
    "array_labels": arrays.array_labels,
    "array_modify": labelled.array_modify,
    "between": comparison.between,
    "climatological_normal": climatology.climatological_normal,
    "clip": arithmetic.clip,
    "count": each.count,
    "create_data_cube": cubes.create_data_cube,
    "cummax": series.cummax,
    "cummin": series.cummin,
    "cumproduct": series.cumproduct,
    "cumsum": series.cumsum,
    "date_between": dates.date_between,
    "date_difference": dates.date_difference,
    "date_shift": dates.date_shift,
    "dimension_labels": cubes.dimension_labels,
    "drop_dimension": cubes.drop_dimension,
    "eq": comparison.eq,
    "extrema": statistics.extrema,
    "filter_bands": filters.filter_bands,
    "filter_bbox": filters.filter_bbox,
    "filter_labels": filters.filter_labels,
    "filter_spatial": filters.filter_spatial,
    "filter_temporal": filters.filter_temporal,
    "first": order.first,
    "fit_curve": curves.fit_curve,
    "flatten_dimensions": shape.flatten_dimensions,
    "gt": comparison.gt,
    "gte": comparison.gte,
    "if": logic.if_,
    "inspect": messages.inspect,
    "int": arithmetic.int_,
    "is_infinite": comparison.is_infinite,
    "is_nan": comparison.is_nan,
    "is_nodata": comparison.is_nodata,
    "is_valid": comparison.is_valid,
    "last": order.last,
    "linear_scale_range": arithmetic.linear_scale_range,
    "lt": comparison.lt,
    "lte": comparison.lte,
    "mask": mask.mask,
    "mask_polygon": mask.mask_polygon,
    "max": statistics.max_,
    "mean": statistics.mean,
    "median": quantiles.median,
    "merge_cubes": merge.merge_cubes,
    "min": statistics.min_,
    "mod": arithmetic.mod,
    "nan": _nan,
    "ndvi": cubes.ndvi,
    "neq": comparison.neq,
    "normalized_difference": arithmetic.normalized_difference,
    "not": logic.not_,
    "or": logic.or_,
    "order": order.order,
    "power": arithmetic.power,
    "predict_curve": curves.predict_curve,
    "product": statistics.product,
    "quantiles": quantiles.quantiles,
    "rearrange": order.rearrange,
    "reduce_dimension": reduce.reduce_dimension,
    "reduce_spatial": reduce.reduce_spatial,
    "rename_dimension": cubes.rename_dimension,
    "rename_labels": cubes.rename_labels,
    "resample_cube_spatial": resample.resample_cube_spatial,
    "resample_cube_temporal": resample.resample_cube_temporal,
    "resample_spatial": resample.resample_spatial,
    "sd": statistics.sd,
    "sort": order.sort,
    "sum": statistics.sum_,
    "text_begins": texts.text_begins,
    "text_concat": messages.text_concat,
    "text_contains": texts.text_contains,
    "text_ends": texts.text_ends,
    "text_find": texts.text_find,
    "trim_cube": trim.trim_cube,
    "unflatten_dimension": shape.unflatten_dimension,
    "variance": statistics.variance,
    "xor": logic.xor,
}

# What only a back-end can do.
OWN: Functions = {
    "filter_vector": filter_vector,
    "load_collection": load_collection,
    "load_geojson": load_geojson,
    "load_ml_model": load_ml_model,
    "load_result": load_result,
    "load_stac": load_stac,
    "load_uploaded_files": load_uploaded_files,
    "load_url": load_url,
    "ml_fit_class_random_forest": ml_fit_class_random_forest,
    "ml_fit_kmeans": ml_fit_kmeans,
    "ml_fit_regr_random_forest": ml_fit_regr_random_forest,
    "ml_predict": ml_predict,
    "multimodal_embed": multimodal_embed,
    "principal_components": principal_components,
    "run_udf": run_udf,
    "save_ml_model": save_ml_model,
    "save_result": trim.save_result,
    "vector_buffer": vector_buffer,
    "vector_reproject": vector_reproject,
    "vector_to_random_points": vector_to_random_points,
    "vector_to_regular_points": vector_to_regular_points,
}


# Its published graph has a callback under "process-graph" instead of "process_graph": web editors fail to draw it.
BROKEN_GRAPHS = frozenset({"variance"})


def build_registry(functions: Functions | None = None) -> ProcessRegistry:
    """Return a new registry of all processes, the ready-made graphs included, in the namespace ``predefined``.

    Parameters
    ----------
    functions : mapping of str to callable, optional
        Implementations by process id instead of `BASE`, `OVERRIDES`, `OWN` and the ready-made graphs.
    """
    registry = ProcessRegistry()
    for id, function in (functions or {**BASE, **OVERRIDES, **OWN}).items():
        registry[id] = Process(spec=read_spec(id), implementation=function)
    if functions is None:
        for spec in read_ready_made():
            registry[spec["id"]] = Process(spec=spec)
    return registry


def read_spec(id: str) -> dict[str, Any]:
    """Return the specification of a process: our own where there is one, else that of openeo-processes-dask."""
    own = files("processes") / "specs" / f"{id}.json"
    theirs = files("openeo_processes_dask") / "specs" / "openeo-processes" / f"{id}.json"
    spec: dict[str, Any] = json.loads((own if own.is_file() else theirs).read_text(encoding="utf-8"))
    if id in BROKEN_GRAPHS:
        del spec["process_graph"]
    return spec
