"""For each exception that a specification lists, a graph that must raise it; `test_exceptions` runs them.

Cubes and whatever else is no JSON are passed to the graph as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import xarray as xr

from models.folders import PACKAGED
from processes.errors import OpenEOError
from processes.machine_learning.store import FolderStore
from processes.sources import open_source
from processes.vectors.cubes import make_cube
from tests.processes.graph.graphs import cube as make
from tests.processes.graph.graphs import node, of, one, param, values
from tests.processes.machine_learning.cubes import aggregated, embeddings, sites
from tests.processes.machine_learning.cubes import trained as trained_nodes
from tests.processes.sources.archives import Stored
from tests.processes.stac import static
from tests.processes.test_load_result import saved
from udf import ModelShelf
from udf.rules import UserCodeRules

BACKWARDS = ["2022-02-01", "2022-01-01"]
FAR = {"west": 100, "south": 10, "east": 101, "north": 11}
S2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
MEAN = one("mean", data=param("data"))
# For processes that hand cubes to theirs.
EACH = one("apply", data=param("data"), process=one("absolute", x=param("x")))


@dataclass(frozen=True)
class Case:
    """A call: arguments, nodes before it, and the fields of its environment, made in a folder (and on a web site)."""

    arguments: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)
    env: Callable[..., Mapping[str, Any]] = lambda folder, site: {}


def case(env: Callable[..., Mapping[str, Any]] | None = None, before: Any = None, **arguments: Any) -> Case:
    """Return a case; `before` are nodes that the call refers to."""
    return Case(arguments, before or {}, env or (lambda folder, site: {}))


def cube(t: int = 3, bands: tuple[str, ...] = ("B04", "B08")) -> xr.DataArray:
    """Return a lazy cube (t, bands, y, x) of 6 x 8 pixels."""
    return make(values(t, len(bands), 6, 8), bands=bands)


def still() -> xr.DataArray:
    """Return a cube without dates."""
    return cube().isel(t=0, drop=True)


def twice() -> xr.DataArray:
    """Return a cube with two dimensions of dates."""
    return cube().expand_dims(run=np.array(["2022-01-01", "2022-02-01"], "datetime64[ns]"))


def points(crs: str = "EPSG:4326") -> xr.DataArray:
    """Return a vector cube of two points."""
    return make_cube([shapely.Point(3, 51), shapely.Point(4, 51)], crs)


def squares(*west: int) -> dict[str, Any]:
    """Return squares of 50 m, so many metres from the cube's corner."""
    shapes = [shapely.box(500_000 + at, 5_649_950, 500_050 + at, 5_650_000) for at in west]
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(one)} for one in shapes]
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    return {"type": "FeatureCollection", "crs": crs, "features": features}


def labelled(*labels: str) -> dict[str, Any]:
    """Return the node of an array with labels."""
    return node("array_create_labeled", data=list(range(len(labels))), labels=list(labels))


def archive(folder: Path, site: Any) -> dict[str, Any]:
    """Return a catalogue of one collection."""

    class Catalog:
        def get(self, id: str) -> Any:
            return open_source(Stored(size=8).write(folder / "S2.zarr"))[0]

    return {"catalog": Catalog()}


def result(form: str) -> Callable[..., Mapping[str, Any]]:
    """Return an environment with the job `a`, whose result is a cube in that format."""
    return lambda folder, site: {"results": saved(cube(), form, folder).results}


class _Files:
    def open(self, path: str) -> Any:
        if path != "text.txt":
            raise OpenEOError("FileNotFound", f"File '{path}' does not exist.")
        return Path(__file__).open("rb")


def files(folder: Path, site: Any) -> dict[str, Any]:
    """Return a workspace with a text in it."""
    return {"files": _Files()}


def code(folder: Path, site: Any) -> dict[str, Any]:
    """Return a workspace without code, and rules under which code is run."""
    return {**files(folder, site), "udf": UserCodeRules()}


def shelf(folder: Path, site: Any) -> dict[str, Any]:
    """Return the models that come with the package."""
    return {"models": ModelShelf([PACKAGED], "demo"), "ml_models": FolderStore(folder)}


def may_fetch(folder: Path, site: Any) -> dict[str, Any]:
    """Return the rules under which the site may be asked; it has an empty catalogue and a text."""
    static(site)
    site.add("/text.txt", b"no raster")
    return {"fetch": site.rules()}


_RADAR = make(values(3, 2, 6, 8), bands=("VV", "VH"))
_FAR_RADAR = _RADAR.assign_coords(x=_RADAR["x"] + 100_000.0)
_FOREST = {**trained_nodes(sites()), "samples": {**aggregated(sites())}}
_FOREST["samples"]["arguments"]["data"] = embeddings().chunk()

CASES: dict[tuple[str, str], Case] = {
    ("add_dimension", "DimensionExists"): case(data=cube(), name="t", label="a"),
    ("aggregate_spatial", "TargetDimensionExists"): case(
        data=cube(), geometries=squares(0), reducer=MEAN, target_dimension="t"
    ),
    ("aggregate_temporal", "DimensionNotAvailable"): case(
        data=cube(), intervals=[["2022-01-01", "2022-02-01"]], reducer=MEAN, dimension="time"
    ),
    ("aggregate_temporal", "DistinctDimensionLabelsRequired"): case(
        data=cube(), intervals=[["2022-01-01", "2022-01-10"], ["2022-01-01", "2022-02-01"]], reducer=MEAN
    ),
    ("aggregate_temporal", "TemporalExtentEmpty"): case(data=cube(), intervals=[BACKWARDS], reducer=MEAN),
    ("aggregate_temporal", "TooManyDimensions"): case(
        data=twice(), intervals=[["2022-01-01", "2022-02-01"]], reducer=MEAN
    ),
    ("aggregate_temporal_period", "DimensionNotAvailable"): case(data=still(), period="month", reducer=MEAN),
    ("aggregate_temporal_period", "TooManyDimensions"): case(data=twice(), period="month", reducer=MEAN),
    ("apply_dimension", "DimensionNotAvailable"): case(
        data=cube(), process=one("array_labels", data=param("data")), dimension="z"
    ),
    ("apply_kernel", "KernelDimensionsUneven"): case(data=cube(), kernel=[[1, 1], [1, 1]]),
    ("apply_neighborhood", "DimensionNotAvailable"): case(
        data=cube(), process=one("absolute", x=param("data")), size=[{"dimension": "z", "value": 1}]
    ),
    ("apply_neighborhood", "DataCubePropertiesImmutable"): case(
        data=cube(),
        process=one("reduce_dimension", data=param("data"), dimension="t", reducer=MEAN),
        size=[{"dimension": "x", "value": 4, "unit": "px"}, {"dimension": "y", "value": 3, "unit": "px"}],
    ),
    ("apply_polygon", "GeometriesOverlap"): case(data=cube(), geometries=squares(0, 20), process=EACH),
    ("apply_polygon", "NoDataAvailable"): case(data=cube(), geometries=squares(5000), process=EACH),
    ("array_append", "ArrayNotLabeled"): case(data=[1], value=2, label="a"),
    ("array_append", "LabelExists"): case(before={"one": labelled("a")}, data=of("one"), value=2, label="a"),
    ("array_concat", "ArrayLabelConflict"): case(before={"one": labelled("a")}, array1=of("one"), array2=of("one")),
    ("array_create_labeled", "ArrayLengthMismatch"): case(data=[1, 2], labels=["a"]),
    ("array_element", "ArrayElementNotAvailable"): case(data=[1], index=1),
    ("array_element", "ArrayElementParameterMissing"): case(data=[1]),
    ("array_element", "ArrayElementParameterConflict"): case(data=[1], index=0, label="a"),
    ("array_element", "ArrayNotLabeled"): case(data=[1], label="a"),
    ("array_modify", "ArrayElementNotAvailable"): case(data=["a"], values=["b"], index=9),
    ("array_modify", "ArrayLabelConflict"): case(
        before={"two": labelled("a", "b"), "one": labelled("b")}, data=of("two"), values=of("one"), index=0
    ),
    ("clip", "MinMaxSwapped"): case(x=1, min=3, max=2),
    ("dimension_labels", "DimensionNotAvailable"): case(data=cube(), dimension="z"),
    ("drop_dimension", "DimensionLabelCountMismatch"): case(data=cube(), name="t"),
    ("drop_dimension", "DimensionNotAvailable"): case(data=cube(), name="z"),
    ("filter_bands", "BandFilterParameterMissing"): case(data=cube()),
    ("filter_bands", "DimensionMissing"): case(data=cube().isel(bands=0, drop=True), bands=["B04"]),
    ("filter_bands", "LabelNotAvailable"): case(data=cube(), bands=["B99"]),
    ("filter_labels", "DimensionNotAvailable"): case(
        data=cube(), condition=one("text_begins", data=param("value"), pattern="B"), dimension="z"
    ),
    ("filter_temporal", "DimensionNotAvailable"): case(
        data=cube(), extent=["2022-01-01", "2022-02-01"], dimension="z"
    ),
    ("filter_temporal", "TemporalExtentEmpty"): case(data=cube(), extent=BACKWARDS),
    ("flatten_dimensions", "DimensionNotAvailable"): case(data=cube(), dimensions=["t", "z"], target_dimension="a"),
    ("flatten_dimensions", "TargetDimensionExists"): case(
        data=cube(), dimensions=["t", "bands"], target_dimension="x"
    ),
    ("load_collection", "NoDataAvailable"): case(archive, id="S2", spatial_extent=FAR, temporal_extent=None),
    ("load_collection", "TemporalExtentEmpty"): case(
        archive, id="S2", spatial_extent=None, temporal_extent=BACKWARDS
    ),
    ("load_ml_model", "ModelNotFound"): case(shelf, uri="nothing"),
    ("load_result", "FormatUnsuitable"): case(result("CSV"), id="a"),
    ("load_result", "JobNotFound"): case(result("GTiff"), id="b"),
    ("load_result", "NoDataAvailable"): case(result("GTiff"), id="a", spatial_extent=FAR),
    ("load_result", "TemporalExtentEmpty"): case(result("GTiff"), id="a", temporal_extent=BACKWARDS),
    ("load_stac", "NoDataAvailable"): case(may_fetch, url="/collection.json"),
    ("load_stac", "PropertiesUnsupported"): case(
        result("GTiff"),
        url="https://openeo.example/jobs/a/results",
        properties={"eo:cloud_cover": one("lt", x=param("value"), y=50)},
    ),
    ("load_stac", "TemporalExtentEmpty"): case(may_fetch, url="/collection.json", temporal_extent=BACKWARDS),
    ("load_uploaded_files", "FileNotFound"): case(files, paths=["other.tif"], format="GTiff"),
    ("load_uploaded_files", "FormatUnsuitable"): case(files, paths=["text.txt"], format="GTiff"),
    ("load_url", "FormatUnsuitable"): case(may_fetch, url="/text.txt", format="GTiff"),
    ("mask", "IncompatibleDataCubes"): case(data=still(), mask=cube()),
    ("merge_cubes", "IncompatibleGeometryTypes"): case(
        cube1=points(), cube2=make_cube([shapely.box(0, 0, 1, 1)], "EPSG:4326")
    ),
    ("merge_cubes", "OverlapResolverMissing"): case(cube1=cube(), cube2=cube()),
    ("ml_fit_class_random_forest", "DimensionMissing"): case(
        predictors=cube(), target=sites(), max_variables="all"
    ),
    ("ml_fit_class_random_forest", "NoDataAvailable"): case(
        before={"samples": node("aggregate_spatial", data=embeddings() * np.nan, geometries=sites(), reducer=MEAN)},
        predictors=of("samples"),
        target=sites(),
        max_variables="all",
    ),
    ("ml_fit_kmeans", "DimensionNotAvailable"): case(data=cube(), dimension="z", n_clusters=2),
    ("ml_fit_kmeans", "NoDataAvailable"): case(data=cube() * np.nan, dimension="bands", n_clusters=2),
    ("ml_fit_regr_random_forest", "DimensionMissing"): case(predictors=cube(), target=sites(), max_variables="all"),
    ("ml_fit_regr_random_forest", "NoDataAvailable"): case(
        before={"samples": node("aggregate_spatial", data=embeddings() * np.nan, geometries=sites(), reducer=MEAN)},
        predictors=of("samples"),
        target=sites(),
        max_variables="all",
    ),
    ("ml_predict", "DimensionNotAvailable"): case(
        before=_FOREST, data=embeddings(), model=of("model"), dimensions=["z"]
    ),
    ("ml_predict", "LabelNotAvailable"): case(
        before=_FOREST, data=embeddings().isel(bands=[0]), model=of("model"), dimensions=["bands"]
    ),
    ("multimodal_embed", "DimensionMissing"): case(shelf, data=still()),
    ("multimodal_embed", "IncompatibleDataCubes"): case(shelf, data=cube(12, S2), others=[_FAR_RADAR]),
    ("multimodal_embed", "LabelNotAvailable"): case(shelf, data=cube(12), others=[_RADAR]),
    ("multimodal_embed", "ModelNotFound"): case(shelf, data=cube(12, S2), model="nothing"),
    ("multimodal_embed", "NoDataAvailable"): case(shelf, data=cube(3, S2), others=[_RADAR]),
    ("ndvi", "BandExists"): case(data=cube(), nir="B08", red="B04", target_band="B04"),
    ("ndvi", "DimensionAmbiguous"): case(data=cube().isel(bands=0, drop=True)),
    ("ndvi", "NirBandAmbiguous"): case(data=cube(), red="B04"),
    ("ndvi", "RedBandAmbiguous"): case(data=cube(), nir="B08"),
    ("principal_components", "DimensionNotAvailable"): case(data=cube(), dimension="z"),
    ("quantiles", "AscendingProbabilitiesRequired"): case(data=[1, 2], probabilities=[0.5, 0.2]),
    ("quantiles", "QuantilesParameterConflict"): case(data=[1, 2], probabilities=[0.5], q=2),
    ("quantiles", "QuantilesParameterMissing"): case(data=[1, 2]),
    ("reduce_dimension", "DimensionNotAvailable"): case(data=cube(), reducer=MEAN, dimension="z"),
    ("rename_dimension", "DimensionExists"): case(data=cube(), source="t", target="x"),
    ("rename_dimension", "DimensionNotAvailable"): case(data=cube(), source="z", target="a"),
    ("rename_labels", "LabelExists"): case(data=cube(), dimension="bands", target=["B08"], source=["B04"]),
    ("rename_labels", "LabelMismatch"): case(data=cube(), dimension="bands", target=["a", "b"], source=["B04"]),
    ("rename_labels", "LabelNotAvailable"): case(data=cube(), dimension="bands", target=["a"], source=["B99"]),
    ("rename_labels", "LabelsNotEnumerated"): case(data=cube(), dimension="bands", target=["a"]),
    ("resample_cube_temporal", "DimensionMismatch"): case(data=cube(), target=still()),
    ("resample_cube_temporal", "DimensionNotAvailable"): case(data=cube(), target=cube(), dimension="z"),
    ("resample_spatial", "DimensionMissing"): case(data=cube().isel(x=0, drop=True), resolution=20),
    ("run_udf", "FileNotFound"): case(code, data=cube(), udf="other.py", runtime="Python"),
    ("run_udf", "InvalidRuntime"): case(code, data=cube(), udf="\n", runtime="R"),
    ("run_udf", "InvalidVersion"): case(code, data=cube(), udf="\n", runtime="Python", version="2.7"),
    ("save_result", "DataCubeEmpty"): case(data=cube().isel(x=slice(0)), format="GTiff"),
    ("save_result", "FormatUnsuitable"): case(data=cube(), format="PNG"),
    ("unflatten_dimension", "DimensionNotAvailable"): case(
        data=cube(), dimension="z", target_dimensions=["a", "b"]
    ),
    ("unflatten_dimension", "TargetDimensionExists"): case(
        data=cube(bands=("a~b", "c~d")), dimension="bands", target_dimensions=["x", "b"]
    ),
    ("vector_buffer", "UnitMismatch"): case(geometries=points(), distance=10),
    ("vector_reproject", "DimensionNotAvailable"): case(data=points(), projection=32631, dimension="z"),
    ("vector_to_random_points", "CountMismatch"): case(data=points(), total_count=1),
    ("vector_to_regular_points", "UnitMismatch"): case(data=points(), distance=10),
}  # fmt: skip

# Tested where what is needed for it is at hand; the file must name the code.
ELSEWHERE = {
    ("load_result", "JobNotFinished"): "tests/backend/jobs/test_reading.py",
    ("load_result", "JobNotStarted"): "tests/backend/jobs/test_reading.py",
    ("load_result", "ResultLinkExpired"): "tests/backend/jobs/test_reading.py",
}

# Listed by the standard, but they cannot occur here.
NEVER = {
    ("divide", "DivisionByZero"): "The standard's rule is followed: dividing by zero gives infinity or NaN.",
    ("mod", "DivisionByZero"): "The standard's rule is followed: dividing by zero gives infinity or NaN.",
    (
        "multiply",
        "MultiplicandMissing",
    ): "Both numbers are required parameters: ProcessParameterRequired names the one.",
}
