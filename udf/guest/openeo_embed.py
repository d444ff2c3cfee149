"""`import openeo_embed` in users' code: the server's models, where its operator lets them be run.

What is imported for it is torch and the package of the networks, in the sandbox like all else.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

NAME = "openeo_embed"
KERNELS = "OPENEO_EMBED_KERNELS"  # where `models.engine.dense.native.build` looks for a library
# Bytes beside the cubes: what is free on the machine cannot be known here, and is not for users' code anyway.
MEMORY = 256 * 2**20
_folders: list[Path] = []


def offer(folders: Sequence[str], kernels: str = "") -> None:
    """Make this module importable as `openeo_embed`.

    The first folder is the package of the networks, the others hold models; without any nothing is offered. `kernels`
    is the path of the server's compiled kernels: none are compiled here, and without them plain torch computes.
    """
    if not folders or NAME in sys.modules:
        return
    os.environ[KERNELS] = kernels
    package, *models = map(Path, folders)
    _folders[:] = models
    if "models" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "models", package / "__init__.py", submodule_search_locations=[str(package)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["models"] = module
        spec.loader.exec_module(module)
    sys.modules[NAME] = sys.modules[__name__]


def names() -> list[str]:
    """Return the names of the models."""
    from models.folders import list_models

    return sorted(list_models(_folders))


def embed(cube: xr.DataArray, model: str = "demo", mask_clouds: bool = True) -> xr.DataArray:
    """Embed a cube, all of it that the model can.

    Parameters
    ----------
    cube : xr.DataArray
        Dimensions t, bands, y and x, physical values; of the bands, those that the model's card lists are taken, and
        the scene classification ``SCL``. Dates on which a sensor has no values are not its own.
    model : str
        The name of a model of the server's.
    mask_clouds : bool
        Whether clouds, shadows and snow by ``SCL`` count as missing.

    Returns
    -------
    xr.DataArray
        t, bands (``F01``, ...), y, x; NaN where there is no embedding.
    """
    from models import embed_cube, load_model

    network = load_model(model, "cpu", _folders)
    card = network.card
    ordered = cube.transpose("bands", "t", "y", "x").sortby("t")
    cubes, times = {}, {}
    for modality in card.modalities:
        values = _bands(ordered, modality.bands, model)
        dates = values.notnull().any(["bands", "y", "x"]).values
        if modality.id == card.reference:
            dates |= True
        elif not dates.any():
            raise ValueError(f"the model {model!r} needs values of {', '.join(modality.bands)}; the cube has none")
        cubes[modality.id] = _prepared(values.isel(t=dates), ordered.isel(t=dates), modality, mask_clouds)
        times[modality.id] = values["t"].values[dates].astype("datetime64[ns]")
    made = embed_cube(network, cubes, times, memory=MEMORY)
    coords = {"bands": card.labels, "t": ordered["t"].values, "y": ordered["y"], "x": ordered["x"]}
    embedded = xr.DataArray(np.asarray(made), dims=("bands", "t", "y", "x"), coords=coords)
    return embedded.sel(t=cube["t"].values).transpose("t", "bands", "y", "x")


def _bands(cube: xr.DataArray, names: Sequence[str], model: str) -> xr.DataArray:
    there = [str(name) for name in cube["bands"].values]
    lacking = [name for name in names if name not in there]
    if lacking:
        raise ValueError(f"the model {model!r} needs the bands {', '.join(lacking)}; the cube has {', '.join(there)}")
    return cube.sel(bands=list(names)).astype(np.float32)


def _prepared(values: xr.DataArray, cube: xr.DataArray, modality: Any, masks_clouds: bool) -> np.ndarray:
    from models.preprocessing import mask_clouds, preprocess

    numbers = values.values
    if masks_clouds and modality.preprocessing == "sentinel2-reflectance" and "SCL" in cube["bands"].values:
        numbers = mask_clouds(numbers, cube.sel(bands="SCL").values)
    return preprocess(numbers, modality.preprocessing, "local")
