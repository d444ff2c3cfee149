"""Which workers run what, and the tiles' tasks as one layer of the graph."""

from __future__ import annotations

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from dask.array.optimization import optimize
from distributed.utils import key_split

from udf import embed_lazily
from udf.cluster import CPU, EMBEDDING, GPU, note, offered, required
from udf.tiling import Source, TileLayer, WholeTask


@pytest.mark.parametrize(
    ("workers", "embedding", "other"),
    [
        ([], None, None),
        ([{}, {}], None, None),
        ([{CPU: 2}], None, None),
        ([{GPU: 1}], {GPU: 1}, None),
        ([{GPU: 1}, {}], {GPU: 1}, None),
        ([{GPU: 1}, {CPU: 4}], {GPU: 1}, {CPU: 1}),
        ([{GPU: 1, CPU: 4}], {GPU: 1}, None),
        ([{GPU: 0}, {CPU: 4}], None, None),
    ],
)
def test_what_tasks_ask_for(workers, embedding, other):
    there = offered(workers)
    assert required(EMBEDDING, there) == embedding
    assert required("load", there) == other
    assert required(f"cut-{EMBEDDING}", there) == other


def test_notes_outside_a_worker_go_nowhere():
    note("warning", "nobody listens")


def graph_of(shelf, sensors, **chunks):
    return embed_lazily(shelf.get(None), sensors(**chunks), np.ones(15, bool), slice(0, 17), slice(0, 18), 6)


def test_embedding_tasks_stay_whole_and_known_by_their_keys(shelf, sensors):
    """Whatever Dask makes of the graph: else loads would run on GPUs, and embeddings beside them."""
    lazy = graph_of(shelf, sensors, s2_chunks=(10, 15, 9, 9))
    after = (lazy + 1).max(axis=1)  # something to be fused with
    tasks = optimize(after.__dask_graph__(), after.__dask_keys__())
    whole = [key for key, task in tasks.items() if isinstance(task, WholeTask)]
    assert len(whole) == 9
    assert {key_split(key) for key in whole} == {EMBEDDING}
    assert all(isinstance(tasks[key], WholeTask) for key in tasks if key_split(key) == EMBEDDING)


def test_the_layer_travels_unwritten(shelf, sensors):
    lazy = graph_of(shelf, sensors)
    layer = lazy.__dask_graph__().layers[lazy.name]
    assert isinstance(layer, TileLayer)
    assert not layer.is_materialized()
    size = len(pickle.dumps(layer))
    assert len(layer) > len(lazy.__dask_keys__()[0][0]) ** 2
    assert layer.is_materialized()
    assert len(pickle.dumps(layer)) == size


def test_only_what_is_wanted_is_written_out(shelf, sensors):
    lazy = graph_of(shelf, sensors)
    (corner,) = dask.optimize(lazy[:, :, :3, :3])
    kinds = [key_split(key) for key in corner.__dask_graph__()]
    assert kinds.count(EMBEDDING) == 1


def test_equal_plans_have_equal_names(shelf, sensors):
    cubes = sensors()
    names = {
        embed_lazily(shelf.get(None), cubes, np.ones(15, bool), slice(0, 17), slice(0, stop), 6).name
        for stop in (18, 18, 17)
    }
    assert len(names) == 2


def test_cuts_cover_what_is_wanted_once():
    source = Source.of(da.zeros((4, 10), chunks=((1, 3), (4, 4, 2))))
    whole = np.arange(40).reshape(4, 10)
    wanted = (slice(0, 4), slice(3, 9))
    out = np.full((4, 6), -1)
    for (row, column), within, target in source.cuts(wanted):
        block = whole[[slice(0, 1), slice(1, 4)][row], [slice(0, 4), slice(4, 8), slice(8, 10)][column]]
        assert (out[target] == -1).all()
        out[target] = block[within]
    np.testing.assert_array_equal(out, whole[wanted])
