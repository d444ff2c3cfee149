"""Trained models over HTTP: among a job's results, in the list of files, in the quota, and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask
import pytest
from flask import Flask

from backend.app import create_app
from backend.context import Services
from backend.files import Workspaces
from backend.jobs.model import Job
from processes.environment import Environment
from processes.machine_learning.models import FittedModel, ModelCard
from processes.machine_learning.save import save_ml_model
from processes.machine_learning.store import new_id, user_store
from tests.backend.conftest import User
from tests.backend.fakes import graph, settings_in
from tests.backend.jobs.test_work import Bench


def small_forest() -> Any:
    """Return a forest of one tree."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(1, random_state=1).fit([[0.0], [1.0]], [1, 2])


def train(env: Environment) -> Any:
    """Save a model, as a graph does."""
    card = ModelCard("classification", "Random Forest", ("B04",))
    return save_ml_model(FittedModel(card, dask.delayed(small_forest)()), env=env)


@pytest.fixture
def services(services: Services, tmp_path: Path) -> Services:
    """The fake services, with room for models and one more process."""
    services.graphs.values["train"] = train  # type: ignore[attr-defined]
    return replace(services, ml_models=partial(user_store, tmp_path / "ml_models"))


@pytest.fixture
def app(tmp_path: Path, services: Services) -> Flask:
    return create_app(settings_in(tmp_path), services)


def trained(services: Services, folder: Path) -> Job:
    return Bench(services, folder).work(dict(graph("train")["process"]))


def test_a_saved_model_is_among_the_jobs_results(anna: User, services: Services, tmp_path: Path) -> None:
    job = trained(services, tmp_path)
    assert job.state.status == "finished"
    results = anna.get(f"/jobs/{job.id}/results").json
    assert set(results["assets"]) == {"result.json", "model.skops"}
    told, model = results["assets"]["result.json"], results["assets"]["model.skops"]
    assert (told["type"], told["roles"]) == ("application/geo+json", ["metadata"])
    assert model["roles"] == ["mlm:model"]
    item, content = (anna.get(asset["href"].partition("://")[2].partition("/")[2]) for asset in (told, model))
    described = json.loads(item.data)
    assert described["assets"]["model"]["href"] == "./model.skops"
    assert described["assets"]["model"]["file:checksum"] == model["file:checksum"]
    stored = user_store(tmp_path / "ml_models", "anna").find(described["id"])
    assert stored is not None
    assert content.data == stored.path.read_bytes()
    assert len(content.data) == model["file:size"]


def test_models_are_files_of_their_user(anna: User, log_in: Callable[[str], User], tmp_path: Path) -> None:
    store, id = user_store(tmp_path / "ml_models", "anna"), new_id()
    asset = {"file:checksum": f"1220{'0' * 64}"}
    store.save(id, b"content", {"assets": {"model": asset}})
    path = f"ml_models/{id}.skops"
    anna.put("/files/a.txt", data=b"a")
    anna.put("/files/z.txt", data=b"z")
    assert [file["path"] for file in anna.get("/files").json["files"]] == ["a.txt", path, "z.txt"]
    assert anna.get(f"/files/{path}").data == b"content"
    assert anna.get(f"/files/{path}", headers={"Range": "bytes=1-2"}).data == b"on"
    ben = log_in("ben")
    for method in ("get", "delete"):
        assert getattr(ben, method)(f"/files/{path}").json["code"] == "FileNotFound"
    for other in ("ml_models", "ml_models/ml-0.skops", f"ml_models/{id}", f"ml_models/{id}.skops/x"):
        assert anna.get(f"/files/{other}").json["code"] == "FileNotFound"
    for taken in (path, "ml_models", "ml_models/mine.skops"):
        assert anna.put(f"/files/{taken}", data=b"x").json["code"] == "FileOperationUnsupported"
    assert anna.delete(f"/files/{path}").status_code == 204
    assert store.ids() == []
    assert anna.delete(f"/files/{path}").json["code"] == "FileNotFound"


def test_models_count_for_the_quota(anna: User, services: Services, tmp_path: Path) -> None:
    def free() -> int:
        return int(anna.get("/me").json["storage"]["free"])

    before = free()
    user_store(tmp_path / "ml_models", "anna").save(new_id(), b"x" * 1000, {"assets": {"model": {}}})
    assert before - free() == 1000
    store = user_store(tmp_path / "ml_models", "anna")
    full = replace(services, files=Workspaces(tmp_path / "files", 10_000, quota=1001))
    job = trained(full, tmp_path)
    assert services.jobs.entries(job.id, "error")[0].code == "StorageQuotaExceeded"
    assert len(store.ids()) == 1
