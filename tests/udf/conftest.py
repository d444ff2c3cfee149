"""A model on disk and sensor cubes, for what runs in workers."""

from __future__ import annotations

import dask.array as da
import pytest
import torch

from models.store import save_model
from tests.golden.seeded import seeded_cube, seeded_model
from udf import ModelShelf, SensorCube


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> ModelShelf:
    folder = tmp_path_factory.mktemp("models")
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
        return {
            "s1": SensorCube(da.from_array(values["s1"], chunks=s1_chunks), values["s1_time"]),
            "s2": SensorCube(da.from_array(values["s2"], chunks=s2_chunks), values["time"], values.get("classes")),
        }

    return sensors
