"""A model on disk and sensor cubes, for what runs in workers."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch

from models.store import save_model
from tests.golden.seeded import seeded_cube, seeded_model
from udf import ModelShelf, SensorCube


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> ModelShelf:
    return save_seeded_model(tmp_path_factory.mktemp("models"))


def save_seeded_model(folder: Path) -> ModelShelf:
    """Return a shelf with the model `seeded` in that folder."""
    model = seeded_model()
    save_model(folder / "seeded", model.card, model.state_dict(), torch.float32)
    return ModelShelf((folder,), "seeded")


@pytest.fixture(scope="session")
def raw():
    """Physical values on 15 and 30 dates, 17 x 18 pixels: reflectance, and linear power."""
    cube = seeded_cube(dates=15, s1_dates=30, size=(17, 18))
    cube["s1"] = cube["s1"] * 0.2
    return cube


@pytest.fixture(scope="session")
def sensors(raw):
    def sensors(s2_chunks=-1, s1_chunks=-1, **changes):
        values = {**raw, **changes}
        if "classes" in values:
            values["s2"] = np.concatenate([values["s2"], values["classes"][None].astype(np.float32)])
        return {
            "s1": SensorCube(da.from_array(values["s1"], chunks=s1_chunks), values["s1_time"]),
            "s2": SensorCube(da.from_array(values["s2"], chunks=s2_chunks), values["time"], "classes" in values),
        }

    return sensors
