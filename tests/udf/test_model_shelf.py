"""Models by name, and loaded once for each worker."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

import models
from models.folders import ModelNotFound
from models.store import save_model
from tests.golden.seeded import seeded_model
from tests.udf.conftest import save_seeded_model
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


def test_what_makes_no_embeddings_is_not_offered(tmp_path):
    shelf = save_seeded_model(tmp_path)
    card, state = seeded_model().card, seeded_model().state_dict()
    one = replace(card, name="one", modalities=card.modalities[:1], reference="s1", stage="stage1")
    own = {k: v for k, v in state.items() if k.startswith(("encoders.s1.", "decoders.s1."))}
    save_model(tmp_path / "one", one, own, torch.float32)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "item.json").write_text("{}")
    assert shelf.names() == ["seeded"]
    for name in ("one", "bad"):
        with pytest.raises(ModelNotFound, match=rf"'{name}'\. Models: seeded\.$"):
            shelf.get(name)


def test_names_are_never_paths(shelf):
    for name in (str(shelf.folders[0] / "seeded"), "../seeded", "..\\seeded"):
        with pytest.raises(ModelNotFound, match="Models: seeded"):
            shelf.get(name)
    assert shelf.names() == ["seeded"]


def test_a_model_that_is_idle_is_let_go_of(shelf, monkeypatch):
    from udf import model_shelf

    monkeypatch.setattr(model_shelf, "IDLE_SECONDS", 0.3)
    first = embedder_on_this_worker(shelf.get("seeded"))
    assert embedder_on_this_worker(shelf.get("seeded")) is first
    end = time.monotonic() + 20
    while model_shelf._loaded and time.monotonic() < end:
        time.sleep(0.02)
    assert not model_shelf._loaded
    assert embedder_on_this_worker(shelf.get("seeded")) is not first
    monkeypatch.undo()
    embedder_on_this_worker(shelf.get("seeded"))  # and the usual time begins again


def test_another_model_takes_the_place_of_the_first(shelf, tmp_path):
    from udf import model_shelf

    other = seeded_model(seed=3)
    save_model(tmp_path / "other", other.card, other.state_dict(), torch.float32)
    embedder_on_this_worker(shelf.get("seeded"))
    embedder_on_this_worker(ModelShelf((tmp_path,), "other").get(None))
    assert [key[0].name for key in model_shelf._loaded] == ["other"]
