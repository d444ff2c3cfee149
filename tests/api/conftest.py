"""A real server on a small simulated archive, and the openEO Python client connected to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openeo
import pytest
import torch

from models.store import save_model
from processes.simulation import SceneSpec, write_archive
from tests.backend.server import Server, run_command, run_inside, serving
from tests.golden.seeded import seeded_model

SIZE = 48
USER = ("anna", "correct horse")


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a catalogue of two simulated months, a user, and a model whose weights come from a seed."""
    folder = tmp_path_factory.mktemp("api") / "data"
    spec = SceneSpec(height=SIZE, width=SIZE, start=np.datetime64("2022-06-01"), stop=np.datetime64("2022-08-01"))
    write_archive(folder / "archive", spec)
    added = run_command("catalog", "add", folder / "archive", "--data", folder)
    assert added.returncode == 0, added.stderr
    name, password = USER
    added = run_inside("user", "add", name, "--password-stdin", "--data", folder, stdin=password + "\n")
    assert added.returncode == 0, added.stderr
    model = seeded_model()
    (folder / "models").mkdir()
    save_model(folder / "models" / "seeded", model.card, model.state_dict(), torch.float32)
    return folder


@pytest.fixture(scope="package")
def server(data: Path) -> Iterator[Server]:
    """A server on that data folder."""
    with serving(data, "--demo-user") as server:
        yield server


@pytest.fixture(scope="package")
def connection(server: Server) -> openeo.Connection:
    """The openEO Python client, logged in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openeo.connect(server.url).authenticate_basic("demo", "demo")
