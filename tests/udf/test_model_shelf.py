"""Models by name, and loaded once for each worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import models
from models.folders import ModelNotFound
from models.store import save_model
from tests.golden.seeded import seeded_model
from udf import ModelShelf
from udf.model_shelf import embedder_on_this_worker


def test_a_worker_loads_a_model_once(shelf, monkeypatch):
    loaded = []
    original = models.load_model
    monkeypatch.setattr(models, "load_model", lambda *a: loaded.append(a) or original(*a), raising=False)
    reference = shelf.get("seeded")
    embedder_on_this_worker.__globals__["_loaded"].clear()
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(lambda _: embedder_on_this_worker(reference), range(4))
    assert all(embedder is first for embedder in others)
    assert len(loaded) == 1


def test_a_model_saved_anew_is_loaded_anew(tmp_path):
    shelf = ModelShelf((tmp_path,), "mine")
    for seed in (1, 2):
        network = seeded_model(seed=seed)
        save_model(tmp_path / "mine", network.card, network.state_dict(), torch.float32)
        state = embedder_on_this_worker(shelf.get(None)).model.state_dict()
        assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())


def test_names_are_never_paths(shelf):
    for name in (str(shelf.folders[0] / "seeded"), "../seeded", "..\\seeded"):
        with pytest.raises(ModelNotFound, match="Models: seeded"):
            shelf.get(name)
    assert shelf.names() == ["seeded"]
