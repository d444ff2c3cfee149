"""A folder of Sentinel collections with a file of labels, as a site."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from models.card import Modality, ModelCard
from models.evaluation import Site
from models.evaluation.samples import NO_CLASS
from models.preprocessing import mask_clouds, preprocess
from processes.sources import LoadRequest, bands_of, first_with, open_source

CLASSIFICATION = "SCL"
TOUCHING = np.ones((3, 3), int)


def labelled_site(card: ModelCard, folder: Path, labels: Path | None, variable: str = "CT", nothing: int = 0) -> Site:
    """Load all of a folder's collections that the model's sensors need, and the labels of their pixels.

    Parameters
    ----------
    folder : Path
        What `openeo-embed catalog add` takes: a Zarr collection's group, or a folder of WorldCereal patches.
    labels : Path, optional
        NetCDF file with a `variable` (y, x) of integers on the collections' grid; connected pixels of one class count
        as a field. Without it the site has no classes.
    nothing : int
        The label of pixels that are not known.

    Raises
    ------
    ValueError
        No collection has a sensor's bands, grids differ, or the labels lie elsewhere.
    """
    loaded = {m.id: _load(m, folder) for m in card.modalities}
    reference = loaded[card.reference]
    for m, cube in loaded.items():
        if not (np.array_equal(cube.x, reference.x) and np.array_equal(cube.y, reference.y)):
            raise ValueError(f"the collection of {m} in {folder} is on another grid than that of {card.reference}")
    known = _labels(labels, variable, reference) if labels else np.full(reference.shape[2:], nothing)
    known = known.astype(np.int64)  # before -1 goes in: labels are often unsigned
    land_cover = np.where(known == nothing, NO_CLASS, known)
    return Site(
        name=folder.name,
        cubes={m.id: _prepared(m, loaded[m.id]) for m in card.modalities},
        times={m: np.asarray(cube.t.values, "datetime64[ns]") for m, cube in loaded.items()},
        land_cover=land_cover,
        classes={int(c): f"{variable} {c}" for c in np.unique(land_cover) if c != NO_CLASS},
        fields=_fields(land_cover),
    )


def _load(modality: Modality, folder: Path) -> xr.DataArray:
    source = first_with(open_source(folder), modality.bands)
    if source is None:
        raise ValueError(f"no collection in {folder} has all bands of {modality.id}: {', '.join(modality.bands)}")
    mask = (CLASSIFICATION,) if CLASSIFICATION in bands_of(source) else ()
    return source.load(LoadRequest(bands=(*modality.bands, *mask))).compute()


def _prepared(modality: Modality, cube: xr.DataArray) -> NDArray[np.float32]:
    values = cube.sel(bands=list(modality.bands)).transpose("bands", "t", "y", "x").values.astype(np.float32)
    if CLASSIFICATION in cube.bands.values:
        values = mask_clouds(values, cube.sel(bands=CLASSIFICATION).transpose("t", "y", "x").values)
    return np.asarray(preprocess(values, modality.preprocessing, "local"), np.float32)


def _labels(file: Path, variable: str, reference: xr.DataArray) -> NDArray[np.integer]:
    with xr.open_dataset(file, mask_and_scale=False, decode_times=False) as dataset:
        if variable not in dataset:
            raise ValueError(f"{file} has no variable {variable!r}; it has {', '.join(map(str, dataset.data_vars))}")
        labels = dataset[variable].transpose("y", "x")
        try:
            labels = labels.sel(x=reference.x, y=reference.y, method="nearest", tolerance=1.0)
        except KeyError as error:
            raise ValueError(f"{file} does not cover the collections in {file.parent}") from error
        return np.asarray(labels.values)


def _fields(land_cover: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected pieces of each class; -1 where none is known."""
    fields, count = np.full(land_cover.shape, NO_CLASS), 0
    for code in np.unique(land_cover[land_cover != NO_CLASS]):
        pieces, number = ndimage.label(land_cover == code, TOUCHING)
        fields[pieces > 0] = pieces[pieces > 0] - 1 + count
        count += number
    return fields
