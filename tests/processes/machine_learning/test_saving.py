"""Saved models: what is kept, for whom, in which form, and what is refused when it is read again."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from models.mlm import MLM
from processes.errors import OpenEOError
from processes.machine_learning._skops import from_bytes, to_bytes
from processes.machine_learning.item import card_of, model_item
from processes.machine_learning.models import ModelCard
from processes.machine_learning.save import ModelSaveRequest
from processes.machine_learning.store import FolderStore, new_id, user_store
from tests.processes.graph.graphs import node, of, param
from tests.processes.machine_learning.cubes import build, embeddings, environment, lazy, predicted, sites, trained
from tests.spec.stac import stac_faults

SAVE = node("save_ml_model", data=of("model"))
CARD = ModelCard("classification", "Random Forest", ("F01", "F02"), options={"seed": 1}, bbox=(3.0, 50.0, 3.1, 50.2))
NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def cube():
    return embeddings()


@pytest.fixture(scope="module")
def forest():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 2))
    return RandomForestClassifier(5, random_state=1).fit(rows, (rows[:, 0] > 0).astype(int))


def save(env, **nodes):
    """Do with the value of a graph what the back-end does."""
    request = build(env, **nodes, saved=SAVE)
    assert isinstance(request, ModelSaveRequest)
    assert request.format == "JSON"
    return request.finish(request.data.compute(scheduler="sync"))


def load(id):
    return {"model": node("load_ml_model", uri=id), "result": predicted()}


KMEANS = {"model": node("ml_fit_kmeans", data=param("cube"), n_clusters=3, seed=1)}


@pytest.mark.parametrize("kind", ["class", "regr", "text", "kmeans"])
def test_a_loaded_model_predicts_as_the_one_that_was_saved(cube, tmp_path, kind):
    geometries = sites(lambda k: {"crop": "abc"[k]}) if kind == "text" else sites()
    nodes = KMEANS if kind == "kmeans" else trained(geometries, "regr" if kind == "regr" else "class")
    env = environment(tmp_path, cube=lazy(cube))
    expected = build(env, **nodes, result=predicted()).compute(scheduler="sync")
    assert not list(tmp_path.iterdir()), "nothing is written before the request is finished"
    item = save(env, **nodes)
    later = environment(tmp_path, cube=lazy(cube))
    loaded = build(later, **load(item["id"])).compute(scheduler="sync")
    np.testing.assert_array_equal(loaded, expected)
    assert np.isfinite(loaded).any()
    assert later.ml_models.ids() == [item["id"]]
    assert json.loads((tmp_path / item["id"] / "item.json").read_text()) == item


def test_a_loaded_model_can_be_saved_again(cube, tmp_path):
    env = environment(tmp_path, cube=lazy(cube))
    first = save(env, **trained(sites(lambda k: {"crop": "abc"[k]})))
    second = save(env, model=node("load_ml_model", uri=first["id"]))
    assert second["id"] != first["id"]
    assert second["properties"]["openeo_embed:classes"] == ["a", "b", "c"]
    assert len(env.ml_models.ids()) == 2


def test_models_are_their_users_own(cube, tmp_path):
    anna = environment(user_store(tmp_path, "anna").folder, cube=lazy(cube))
    item = save(anna, **trained(sites()))
    ben = environment(user_store(tmp_path, "ben").folder, models=Named(), cube=lazy(cube))
    with pytest.raises(OpenEOError, match=r"There is no model.*Models that you saved: none") as caught:
        build(ben, **load(item["id"]))
    assert caught.value.code == "ModelNotFound"


class Named:
    """A registry without models."""

    def get(self, name):
        from models.folders import ModelNotFound

        raise ModelNotFound(f"There is no model {name!r}. Models: none.")


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "../../etc", "a\\b", "ä" * 100, "x" * 300, "CON", ""])
def test_no_users_name_leaves_the_folder(tmp_path, name):
    folder = user_store(tmp_path, name).folder
    assert folder.parent == tmp_path
    assert folder.name not in ("", ".", "..")
    assert folder != user_store(tmp_path, name + "x").folder
    folder.mkdir()


@pytest.mark.parametrize("id", ["../ml-0123456789abcdef", "ml-0123456789abcdef/../..", "/etc", "..", "ml-XYZ", "x\0y"])
def test_no_id_is_a_path(tmp_path, id):
    store = FolderStore(tmp_path / "own")
    outside = tmp_path / "ml-0123456789abcdef"
    outside.mkdir()
    (outside / "item.json").write_text("{}")
    assert store.find(id) is None
    with pytest.raises(ValueError, match="no id"):
        store.save(id, b"", {})
    env = environment(tmp_path / "own", models=Named())
    with pytest.raises(OpenEOError) as caught:
        build(env, model=node("load_ml_model", uri=id))
    assert caught.value.code in ("ModelNotFound", "ProcessParameterInvalid")


@dataclass
class Jobs:
    """The results of one batch job, at one URL; see `UserResults`."""

    files: dict[str, tuple[str, bytes]]
    url = "https://here.example/openeo/1.2/jobs/0123456789abcdef0123456789abcdef/results"

    @property
    def assets(self):
        return {name: {"type": kind} for name, (kind, _) in self.files.items()}

    def open(self, name):
        return io.BytesIO(self.files[name][1])

    def at(self, url):
        return self if url == self.url else None


ITEM_TYPE = "application/geo+json"


def test_a_model_is_loaded_by_the_results_of_the_job_that_saved_it(cube, tmp_path):
    env = environment(tmp_path, cube=lazy(cube))
    item = save(env, **KMEANS)
    noise = {"log.json": ("application/json", b"[1]"), "map.tif": ("image/tiff", b"II*")}
    jobs = Jobs({**noise, "result.json": (ITEM_TYPE, json.dumps(item).encode())})
    later = replace(environment(tmp_path, cube=lazy(cube)), results=jobs)
    by_url, by_id = (build(later, **load(uri)).compute(scheduler="sync") for uri in (jobs.url, item["id"]))
    np.testing.assert_array_equal(by_url, by_id)
    assert np.isfinite(by_url).any()
    # Another user may read the results by a signed URL, but has no such model.
    other = replace(environment(tmp_path / "other", models=Named()), results=jobs)
    with pytest.raises(OpenEOError, match=item["id"]) as caught:
        build(other, model=node("load_ml_model", uri=jobs.url))
    assert caught.value.code == "ModelNotFound"


@pytest.mark.parametrize(
    "file",
    [
        ("image/tiff", b"II*"),
        (ITEM_TYPE, b"{"),
        (ITEM_TYPE, b"[" * 100_000),
        (ITEM_TYPE, b'{"id": "ml-0123456789abcdef", "stac_extensions": []}'),
        (ITEM_TYPE, b'"https://stac-extensions.github.io/mlm/v1.5.2/schema.json"'),
    ],
)
def test_results_that_are_no_model_are_refused(tmp_path, file):
    env = replace(environment(tmp_path), results=Jobs({"result": file}))
    with pytest.raises(OpenEOError, match="has saved no model") as caught:
        build(env, model=node("load_ml_model", uri=Jobs.url))
    assert caught.value.code == "ProcessParameterInvalid"


@pytest.mark.parametrize("uri", ["https://example.org/model.json", "http://169.254.169.254/item.json"])
@pytest.mark.parametrize("results", [None, Jobs({})])
def test_nothing_is_loaded_from_other_servers(tmp_path, uri, results):
    with pytest.raises(OpenEOError, match=r"from other servers; the operator .* model import") as caught:
        build(replace(environment(tmp_path), results=results), model=node("load_ml_model", uri=uri))
    assert caught.value.code == "ProcessParameterInvalid"


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "", " "])
def test_what_is_no_name_is_refused(tmp_path, uri):
    with pytest.raises(OpenEOError) as caught:
        build(environment(tmp_path), model=node("load_ml_model", uri=uri))
    assert caught.value.code == "ProcessParameterInvalid"


def test_a_store_keeps_a_model_at_once_or_not_at_all(tmp_path, forest):
    store, id = FolderStore(tmp_path), new_id()
    with pytest.raises(ValueError, match="Out of range"):
        store.save(id, b"content", {"not": float("nan")})
    assert list(tmp_path.iterdir()) == []
    item = model_item(id, CARD, b"content", [0, 1], NOW)
    store.save(id, b"content", item)
    with pytest.raises(FileExistsError):
        store.save(id, b"other", item)
    assert [path.name for path in tmp_path.iterdir()] == [id]
    stored = store.find(id)
    assert stored.path.read_bytes() == b"content"
    assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
    store.delete_all()
    assert store.ids() == []
    assert store.find(id) is None
    store.delete_all()


def test_a_file_that_was_changed_is_not_loaded(cube, tmp_path):
    env = environment(tmp_path, cube=lazy(cube))
    item = save(env, **trained(sites()))
    path = tmp_path / item["id"] / "model.skops"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(OpenEOError, match="damaged") as caught:
        build(env, **load(item["id"])).compute(scheduler="sync")
    assert caught.value.code == "StorageFailure"
    path.unlink()
    with pytest.raises(OpenEOError, match="cannot be read"):
        build(env, **load(item["id"])).compute(scheduler="sync")


class Evil:
    def __reduce__(self):
        return (print, ("loaded",))


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), b"", b"PK\x03\x04", "other", "function"])
def test_only_the_types_that_we_save_are_loaded(content, capsys):
    if content == "other":
        content = skops.io.dumps(LinearRegression())
    if content == "function":
        content = skops.io.dumps(np.linalg.inv)
    with pytest.raises(OpenEOError) as caught:
        from_bytes(content)
    assert caught.value.code == "StorageFailure"
    assert capsys.readouterr().out == ""


def test_a_type_that_nobody_named_is_refused(forest):
    """A forest in which one class has been exchanged for another one."""
    source = zipfile.ZipFile(io.BytesIO(to_bytes(forest)))
    schema = json.loads(source.read("schema.json"))
    schema["__class__"], schema["__module__"] = "Popen", "subprocess"
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, json.dumps(schema) if name == "schema.json" else source.read(name))
    with pytest.raises(OpenEOError, match="Popen"):
        from_bytes(changed.getvalue())


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 2), ("feature", -7), ("left_child", -3)]
)
def test_a_tree_that_leads_nowhere_is_refused(forest, field, value):
    """scikit-learn follows these numbers without looking: they would read other memory, or never end."""
    good = from_bytes(to_bytes(forest))
    tree = good.estimators_[2].tree_
    state = tree.__getstate__()
    assert state["nodes"]["left_child"][0] > 0
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    with pytest.raises(OpenEOError, match="lead nowhere"):
        from_bytes(to_bytes(good))


def test_what_save_ml_model_refuses(cube, tmp_path):
    env = environment(tmp_path, cube=lazy(cube))
    for nodes, words in (
        ({**trained(sites()), "saved": node("save_ml_model", data=of("model"), options={"name": "x"})}, "name"),
        ({"saved": node("save_ml_model", data=param("cube"))}, "data"),
    ):
        with pytest.raises(OpenEOError, match=words) as caught:
            build(env, **nodes)
        assert caught.value.code == "ProcessParameterInvalid"
    with pytest.raises(OpenEOError) as caught:
        build(environment(cube=lazy(cube)), **trained(sites()), saved=SAVE)
    assert caught.value.code == "FeatureUnsupported"


ITEMS = {
    "classes": model_item("ml-0123456789abcdef", CARD, b"content", [-1, 10, 20], NOW),
    "texts": model_item(
        "ml-0123456789abcdef",
        ModelCard("classification", "Random Forest", ("a",), ("beet & co", "maize"), {"seed": None}),
        b"content",
        [0, 1],
        NOW,
    ),
    "numbers": model_item(
        "ml-0123456789abcdef",
        ModelCard("regression", "Random Forest", ("F01",), (), {"seed": None}, (3.0, 50.0, 3.0, 50.0)),
        b"content",
        [],
        NOW,
    ),
    "groups": model_item(
        "ml-0123456789abcdef", ModelCard("clustering", "k-means", ("F01",), (), {"n_clusters": 2}), b"c", [0, 1], NOW
    ),
}


@pytest.mark.parametrize("which", ITEMS)
def test_items_say_what_mlm_requires(which):
    item = ITEMS[which]
    assert item["type"] == "Feature"
    assert item["stac_version"] == "1.1.0"
    assert MLM in item["stac_extensions"]
    assert item["properties"]["datetime"] == "2024-05-06T07:08:09Z"
    assert {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"} <= set(item["properties"])
    (taken,) = item["properties"]["mlm:input"]
    assert {"name", "bands", "input"} <= set(taken)
    assert taken["input"]["shape"] == [-1, len(taken["bands"])]
    assert len(taken["input"]["dim_order"]) == 2
    (given,) = item["properties"]["mlm:output"]
    assert {"name", "tasks", "result"} <= set(given)
    assert set(given["tasks"]) == set(item["properties"]["mlm:tasks"])
    asset = item["assets"]["model"]
    assert asset["roles"] == ["mlm:model"]
    assert asset["mlm:artifact_type"] == "skops.io.dump"
    assert [band["name"] for band in asset["raster:bands"]] == taken["bands"]
    assert asset["file:size"] == 1 or asset["file:size"] == 7
    assert (item["geometry"] is None) == ("bbox" not in item)
    json.dumps(item, allow_nan=False)


@pytest.mark.parametrize("which", ITEMS)
def test_items_are_valid_by_the_published_schemas(which, api_spec):
    assert stac_faults(ITEMS[which], "item", api_spec) == []


def test_cards_come_back_from_items():
    assert card_of(ITEMS["classes"]) == CARD
    assert card_of(ITEMS["texts"]).classes == ("beet & co", "maize")
    assert card_of(ITEMS["groups"]).task == "clustering"
