"""The sample archive on disk: one Zarr v3 group for each collection.

Chunks are 8 dates x 64 x 64 pixels (64 KiB of uint16): one pixel's series, one date's tile and a window of both read
little more than they need. Shards are 80 dates x 256 x 256 pixels, 10 MiB of uint16: few files (a year of the default
scene has two for each band), and a good block for one task that reads.
"""

from __future__ import annotations

import errno
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec

from processes.simulation._replace import replace_folder
from processes.simulation.bands import LAND_COVER_BAND, S1_BANDS
from processes.simulation.metadata import land_cover_collection, sentinel1_collection, sentinel2_collection
from processes.simulation.orbits import Acquisition
from processes.simulation.scene import Simulation
from processes.simulation.spec import SceneSpec

CHUNKS = (8, 64, 64)
SHARDS = (80, 256, 256)
SCALE = 1e-4
COLLECTIONS = ("SENTINEL2_L2A", "SENTINEL1_RTC", "LAND_COVER")

Progress = Callable[[str, float], None]
Block = Mapping[str, NDArray[Any]]


def write_sample_archive(folder: Path, *, seed: int = 0, progress: Progress | None = None) -> list[Path]:
    """Write the sample archive: a year of a simulated 2.56 km x 2.56 km scene.

    Parameters
    ----------
    folder : Path
        Where ``SENTINEL2_L2A.zarr``, ``SENTINEL1_RTC.zarr`` and ``LAND_COVER.zarr`` are put; made where it is missing.
        Each takes an older one's place in one step, and only when all three are complete.
    seed : int
        The same seed gives the same arrays.
    progress : callable, optional
        Is told what is being made, and which share of the whole is done, 0 to 1.

    Returns
    -------
    list of Path
        The three groups.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    return write_archive(folder, SceneSpec(seed=seed), progress=progress)


def write_archive(folder: Path, spec: SceneSpec, *, progress: Progress | None = None) -> list[Path]:
    """Write an archive of any scene; see `write_sample_archive`. Takes about 3 kB of memory for each pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    _check_places(folder)
    simulation = Simulation(spec)
    report = _Report(simulation, progress)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as scratch:
        written = [
            _write_optical(Path(scratch), simulation, report),
            _write_radar(Path(scratch), simulation, report),
            _write_land_cover(Path(scratch), simulation),
        ]
        report.step("Moving the archive to its place", 0)
        for path in written:
            _consolidate(path)
        for path in written:
            replace_folder(path, folder / path.name)
    report.step("Done", 0)
    return [folder / path.name for path in written]


def _check_places(folder: Path) -> None:
    """Find out before the work, not after it, that something else lies where a group will."""
    for collection in COLLECTIONS:
        place = folder / f"{collection}.zarr"
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "A file lies where the archive goes; move it away", str(place))


def digital_numbers(reflectance: NDArray[np.float32], offset: float) -> NDArray[np.uint16]:
    """Return what a product stores: ``(reflectance - offset) / 1e-4``, at least 1; 0 where there is no value."""
    numbers = np.rint((reflectance - np.float32(offset)) * np.float32(1 / SCALE))
    return np.where(np.isnan(numbers), 0, np.clip(numbers, 1, 65535)).astype(np.uint16)


class _Report:
    """Turns steps done into the share of the whole; a radar pass is worth half an optical one."""

    def __init__(self, simulation: Simulation, progress: Progress | None) -> None:
        self._total = max(0.5, len(simulation.optical_passes) + 0.5 * len(simulation.radar_passes))
        self._done = 0.0
        self._progress = progress

    def step(self, what: str, work: float) -> None:
        self._done += work
        if self._progress is not None:
            self._progress(what, self._done / self._total)


@dataclass(frozen=True)
class _Group:
    """An open Zarr group whose passes are appended in blocks."""

    root: zarr.Group
    spec: SceneSpec

    def add_band(self, name: str, dtype: str, fill: float, count: int, attributes: Mapping[str, Any]) -> None:
        shape = (count, *self.spec.shape)
        # A shard no longer than the array, in whole chunks: small scenes and single maps need no padding.
        shards = tuple(
            min(shard, -(-size // chunk) * chunk) for shard, size, chunk in zip(SHARDS, shape, CHUNKS, strict=True)
        )
        self.root.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=CHUNKS,
            shards=shards,
            fill_value=fill,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            dimension_names=("t", "y", "x"),
            attributes={"grid_mapping": "spatial_ref", **attributes},
        )

    def add_item_property(self, name: str, values: Sequence[Any], dtype: type) -> None:
        """Store one value for each pass under a STAC item property's name."""
        array: NDArray[Any] = np.array(values, dtype=object if dtype is str else dtype)
        self.add_vector(name.replace(":", "_"), array, "t", {"stac_property": name})

    def add_vector(self, name: str, values: NDArray[Any], dimension: str, attributes: Mapping[str, Any]) -> None:
        array: Any = self.root.create_array(
            name,
            shape=values.shape,
            dtype=str if values.dtype == object else values.dtype,
            chunks=values.shape,
            dimension_names=(dimension,),
            attributes=dict(attributes),
        )
        array[:] = values

    def write(self, start: int, block: Block) -> None:
        for name, values in block.items():
            array: Any = self.root[name]
            array[start : start + len(values)] = values


def _open_group(
    folder: Path, spec: SceneSpec, collection: Mapping[str, Any], times: NDArray[np.datetime64]
) -> tuple[Path, _Group]:
    """Start a group with its description, axes and CRS."""
    path = folder / f"{collection['id']}.zarr"
    attributes = {
        "openeo_collection": dict(collection),
        "title": collection["title"],
        "Conventions": "CF-1.10",
        "coordinates": "spatial_ref",
    }
    group = _Group(zarr.create_group(path, zarr_format=3, attributes=attributes), spec)
    nanoseconds = times.astype("datetime64[ns]").astype(np.int64)
    group.add_vector(
        "t",
        nanoseconds,
        "t",
        {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"},
    )
    for name, values in (("y", spec.y), ("x", spec.x)):
        standard = f"projection_{name}_coordinate"
        group.add_vector(name, values, name, {"units": "metre", "standard_name": standard, "axis": name.upper()})
    group.root.create_array(
        "spatial_ref", shape=(), dtype="int32", fill_value=0, dimension_names=(), attributes=_grid_mapping(spec)
    )[...] = spec.epsg
    return path, group


def _consolidate(path: Path) -> None:
    """Gather all metadata in the group's own: a remote reader opens it with one request, others ignore it."""
    with warnings.catch_warnings():
        # Zarr warns that version 3's specification does not have this yet.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(path)


def _grid_mapping(spec: SceneSpec) -> dict[str, Any]:
    crs = CRS.from_epsg(spec.epsg)
    return {**crs.to_cf(), "spatial_ref": crs.to_wkt()}


def _blocks(passes: Sequence[Acquisition]) -> Iterator[tuple[int, Sequence[Acquisition]]]:
    """Cut passes into the blocks that fill one shard's dates."""
    for start in range(0, len(passes), SHARDS[0]):
        yield start, passes[start : start + SHARDS[0]]


def _add_items(group: _Group, passes: Sequence[Acquisition], scale: float, offsets: Sequence[float]) -> None:
    group.add_vector("item_scale", np.full(len(passes), scale), "t", {})
    group.add_vector("item_offset", np.array(offsets, np.float64), "t", {})
    tracks = [passage.track for passage in passes]
    group.add_item_property("sat:relative_orbit", [track.relative_orbit for track in tracks], np.int64)
    group.add_item_property("sat:orbit_state", [track.orbit_state for track in tracks], str)
    group.add_item_property("platform", [passage.platform for passage in passes], str)


def _write_optical(folder: Path, simulation: Simulation, report: _Report) -> Path:
    spec, passes = simulation.spec, simulation.optical_passes
    path, group = _open_group(folder, spec, sentinel2_collection(spec.bands), _times(passes))
    for band in spec.bands:
        group.add_band(band, "uint16", 0, len(passes), {"long_name": f"surface reflectance {band}"})
    group.add_band("SCL", "uint8", 0, len(passes), {"long_name": "scene classification"})
    _add_items(group, passes, SCALE, [passage.offset for passage in passes])
    group.add_item_property("s2:processing_baseline", [passage.baseline for passage in passes], str)
    covers: list[float] = []
    for start, block in _blocks(passes):
        numbers = np.empty((len(spec.bands), len(block), *spec.shape), np.uint16)
        classes = np.empty((len(block), *spec.shape), np.uint8)
        for index, passage in enumerate(block):
            image = simulation.optical(passage)
            numbers[:, index] = digital_numbers(image.reflectance, passage.offset)
            classes[index] = image.scl
            covers.append(round(image.cloud_cover, 4))
            report.step("Simulating Sentinel-2", 1)
        group.write(start, {**dict(zip(spec.bands, numbers, strict=True)), "SCL": classes})
    group.add_item_property("eo:cloud_cover", covers, np.float64)
    return path


def _write_radar(folder: Path, simulation: Simulation, report: _Report) -> Path:
    spec, passes = simulation.spec, simulation.radar_passes
    path, group = _open_group(folder, spec, sentinel1_collection(), _times(passes))
    for band in S1_BANDS:
        group.add_band(band, "float32", np.nan, len(passes), {"long_name": f"backscatter gamma0 {band}", "units": "1"})
    _add_items(group, passes, 1.0, [0.0] * len(passes))
    for start, block in _blocks(passes):
        power = np.empty((len(S1_BANDS), len(block), *spec.shape), np.float32)
        for index, passage in enumerate(block):
            power[:, index] = simulation.radar(passage)
            report.step("Simulating Sentinel-1", 0.5)
        group.write(start, dict(zip(S1_BANDS, power, strict=True)))
    return path


def _write_land_cover(folder: Path, simulation: Simulation) -> Path:
    spec = simulation.spec
    year = np.array([spec.start.astype("datetime64[Y]")])
    path, group = _open_group(folder, spec, land_cover_collection(), year)
    group.add_band(LAND_COVER_BAND, "uint8", 0, 1, {"long_name": "land-cover class"})
    group.write(0, {LAND_COVER_BAND: simulation.ground.land_cover[None]})
    return path


def _times(passes: Sequence[Acquisition]) -> NDArray[np.datetime64]:
    return np.array([passage.time for passage in passes], "datetime64[ns]")
