"""Where our specifications deliberately differ from the standard's, and why.

Keys are process ids and, in them, where the difference lies as `differences` tells it. Most are narrower: what is not
implemented is not offered.
"""

from __future__ import annotations

from typing import Any

# Processes of this back-end, drafts of machine learning that are no part of the standard's release, and `load_result`,
# which was in former releases: jobs are named by their id, where `load_stac` takes URLs alone.
NOT_OF_THE_STANDARD = {
    "load_ml_model",
    "load_result",
    "ml_fit_class_random_forest",
    "ml_fit_kmeans",
    "ml_fit_regr_random_forest",
    "ml_predict",
    "multimodal_embed",
    "principal_components",
    "save_ml_model",
}

_NUMBERS_ONLY = "Cubes hold numbers, so text cannot replace any."
_TOLD = "Not in the standard's list; tells more than a general error would."
_GEOJSON = "GeoJSON is taken, too, as by the standard's other processes with geometries."
_LABELS = "Without labels the standard fills the gaps of a cube, but none with gaps is passed to the process."

DEVIATIONS: dict[str, dict[str, str]] = {
    "apply_polygon": {
        "parameters.geometries": _GEOJSON,
        "parameters.mask_value": _NUMBERS_ONLY,
        "parameters.process.returns.schema": "The standard nests the schema of the cube in a second `schema`.",
        "exceptions.NoDataAvailable": _TOLD,
    },
    "filter_bands": {"exceptions.LabelNotAvailable": _TOLD},
    "filter_vector": {"parameters.data": _GEOJSON, "parameters.geometries": _GEOJSON},
    "mask": {"parameters.replacement.type": _NUMBERS_ONLY},
    "mask_polygon": {"parameters.replacement": _NUMBERS_ONLY},
    "predict_curve": dict.fromkeys(("parameters.labels", "parameters.labels(optional)"), _LABELS),
    "resample_spatial": {"exceptions.DimensionMissing": _TOLD},
    "vector_buffer": {"parameters.geometries": _GEOJSON},
    "vector_reproject": {"parameters.data": _GEOJSON},
    "vector_to_random_points": {"parameters.data": _GEOJSON},
    "vector_to_regular_points": {
        "parameters.data": _GEOJSON,
        "parameters.distance": "The standard's `minimumExclusive` is no keyword of JSON Schema.",
    },
}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> set[str]:
    """Return where the facts of two specifications differ, as dotted paths."""
    paths = set(_differences(expected["returns"], found["returns"], "returns"))
    paths |= {f"exceptions.{code}" for code in {*expected["exceptions"]} ^ {*found["exceptions"]}}
    ours, theirs = found["parameters"], expected["parameters"]
    if list(ours) != list(theirs):
        return paths | {"parameters"}
    for name, parameter in theirs.items():
        for key in {*parameter, *ours[name]}:
            at = f"parameters.{name}" if key == "schema" else f"parameters.{name}({key})"
            paths |= set(_differences(parameter.get(key), ours[name].get(key), at))
    return paths


def _differences(expected: Any, found: Any, path: str) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [where for key in expected for where in _differences(expected[key], found[key], f"{path}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(expected, found, strict=True))]
        return [where for i, a, b in pairs for where in _differences(a, b, f"{path}.{i}")]
    return [] if type(expected) is type(found) and expected == found else [path]
