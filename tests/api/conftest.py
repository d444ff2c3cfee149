"""A real server on a small simulated archive, and the openEO Python client connected to it."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openeo
import pytest
import torch

from models.store import save_model
from processes.simulation import SceneSpec, write_archive
from tests.api.faults import small_disk
from tests.api.homes import Home, data_folder
from tests.api.proxied import Proxied, proxied_postgres
from tests.backend.server import Server, run_inside, serving
from tests.golden.seeded import seeded_model
from tests.processes.site import Site, serve
from tests.udf.test_packages import wheel

SIZE = 48
DISK = 48  # MiB
USER = ("anna", "correct horse")


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a catalogue of two simulated months, a user, and a model whose weights come from a seed."""
    folder = tmp_path_factory.mktemp("api") / "data"
    spec = SceneSpec(height=SIZE, width=SIZE, start=np.datetime64("2022-06-01"), stop=np.datetime64("2022-08-01"))
    write_archive(folder / "archive", spec)
    added = run_inside("catalog", "add", folder / "archive", "--data", folder)
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


@pytest.fixture(scope="package")
def remote_site() -> Iterator[Site]:
    """A web server on loopback."""
    with serve() as running:
        yield running


@pytest.fixture(scope="package")
def generous(data: Path, remote_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose operator permits packages, models and a site; the data lies below /tmp."""
    folder = tmp_path_factory.mktemp("generous")
    (folder / "wheels").mkdir()
    wheel(folder / "wheels")
    shutil.copytree(data, folder / "data", ignore=shutil.ignore_patterns("run", "archive"))
    allowed = {
        "OPENEO_EMBED_UDF_PACKAGES": str(folder / "wheels"),
        "OPENEO_EMBED_UDF_MODELS": "1",
        "OPENEO_EMBED_FETCH_HOSTS": f"localhost:{remote_site.port}",
    }
    with serving(folder / "data", "--demo-user", **allowed) as server:
        yield server


@pytest.fixture(scope="package")
def home(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A data folder on a small file system of its own, where mounting one is permitted, and a server on it.

    Each server that a test starts serves the next test too: starting one takes long.
    """
    parent = tmp_path_factory.mktemp("home")
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(pytest.skip.Exception):  # those that need one say so
            opened.enter_context(small_disk(parent / "data", DISK))
        yield opened.enter_context(contextlib.closing(Home(data_folder(data, parent))))


@pytest.fixture(scope="package")
def proxied(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A server with one runner whose PostgreSQL is behind a proxy; skips where there is no PostgreSQL."""
    with proxied_postgres(data_folder(data, tmp_path_factory.mktemp("proxied"))) as made:
        yield made
