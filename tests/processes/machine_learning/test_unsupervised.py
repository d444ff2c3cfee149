"""K-means and principal components: NumPy and scikit-learn say what they have to be, in any chunks."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from processes.errors import OpenEOError
from processes.machine_learning._pixels import sample_rows
from processes.machine_learning.principal_components import merged, moments
from tests.processes.graph.graphs import node, param
from tests.processes.machine_learning.cubes import (
    CHUNKINGS,
    build,
    embeddings,
    environment,
    lazy,
    predicted,
    stripes,
)


@pytest.fixture(scope="module")
def cube():
    return embeddings()


def rows_of(cube):
    """Complete pixels, (n, bands), and where they are, (y, x)."""
    rows = cube.transpose("y", "x", "bands").values.astype(np.float64)
    complete = np.isfinite(rows).all(axis=-1)
    return rows[complete], complete


def kmeans(**arguments):
    return node("ml_fit_kmeans", data=param("cube"), **{"n_clusters": 3, "seed": 4, **arguments})


def components(**arguments):
    return node("principal_components", data=param("cube"), **arguments)


@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_groups_are_those_of_scikit_learn_in_any_chunks(cube, chunks):
    result = build(environment(cube=lazy(cube, chunks)), model=kmeans(), result=predicted())
    computed = result.compute(scheduler="sync")[0].values
    rows, complete = rows_of(cube)
    np.testing.assert_array_equal(np.isfinite(computed), complete)
    ours = computed[complete].astype(int)
    sizes = np.bincount(ours)
    assert len(sizes) == 3
    assert (np.diff(sizes) <= 0).all(), "from the largest group to the smallest"
    centres = np.stack([rows[ours == k].mean(axis=0) for k in range(3)])
    expected = KMeans(3, n_init=10, random_state=0).fit(rows).cluster_centers_
    np.testing.assert_allclose(
        centres[np.lexsort(centres.T)], expected[np.lexsort(expected.T)], rtol=0, atol=1e-3 * np.abs(expected).max()
    )
    whole = build(environment(cube=cube), model=kmeans(), result=predicted()).compute(scheduler="sync")[0].values
    np.testing.assert_array_equal(computed, whole)


def test_groups_find_the_stripes(cube):
    groups = build(environment(cube=lazy(cube)), model=kmeans(), result=predicted()).compute(scheduler="sync")[0].values
    for kind in range(3):
        values = groups[(stripes() == kind) & np.isfinite(groups)]
        assert (values == np.median(values)).mean() > 0.95


def test_groups_along_another_dimension(cube):
    renamed = cube.rename(bands="feature")
    model = kmeans(dimension="feature")
    ours = build(environment(cube=lazy(renamed, {"feature": 1})), model=model, result=predicted(("feature",)))
    expected = build(environment(cube=lazy(cube)), model=kmeans(), result=predicted())
    np.testing.assert_array_equal(ours.compute(scheduler="sync"), expected.compute(scheduler="sync"))


def test_samples_do_not_depend_on_chunks():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(5, 23, 17, 3))
    values[rng.random((5, 23, 17)) < 0.3] = np.nan
    samples = [
        sample_rows(da.from_array(values, chunks=chunks), 200, seed=9).compute(scheduler="sync")
        for chunks in ((5, 23, 17, 3), (1, 4, 17, 3), (2, 23, 3, 3), (3, 7, 5, 3))
    ]
    assert samples[0].shape == (200, 3)
    assert np.isfinite(samples[0]).all()
    for other in samples[1:]:
        np.testing.assert_array_equal(samples[0], other)
    another = sample_rows(da.from_array(values, chunks=7).rechunk({3: -1}), 200, seed=10).compute(scheduler="sync")
    assert not np.array_equal(samples[0], another)


def test_samples_are_uniform_and_without_repetition():
    count = 20_000
    values = np.arange(count, dtype=float).reshape(100, 200, 1)
    taken = sample_rows(da.from_array(values, chunks=(30, 70, 1)), 4000, seed=0).compute(scheduler="sync")[:, 0]
    assert len(np.unique(taken)) == 4000
    tenths = np.bincount((taken * 10 // count).astype(int), minlength=10)
    assert (np.abs(tenths - 400) < 5 * np.sqrt(400)).all()
    all_of_them = sample_rows(da.from_array(values, chunks=(30, 70, 1)), 10**6, seed=0).compute(scheduler="sync")
    assert sorted(all_of_them[:, 0].tolist()) == list(range(count))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"n_clusters": 1}, "ProcessParameterInvalid", "between 2 and 200"),
        ({"n_clusters": 201}, "ProcessParameterInvalid", "between 2 and 200"),
        ({"dimension": "band"}, "DimensionNotAvailable", "band"),
    ],
)
def test_what_k_means_refuses(cube, arguments, code, words):
    with pytest.raises(OpenEOError, match=words) as caught:
        build(environment(cube=lazy(cube)), model=kmeans(**arguments))
    assert caught.value.code == code


def test_too_few_different_pixels(cube):
    flat = xr.full_like(cube, 1).chunk(x=5)
    result = build(environment(cube=flat), model=kmeans(), result=predicted())
    with pytest.raises(OpenEOError, match="1 different") as caught:
        result.compute(scheduler="sync")
    assert caught.value.code == "NoDataAvailable"


@pytest.mark.parametrize("chunks", CHUNKINGS)
@pytest.mark.parametrize("standardize", [False, True])
def test_components_are_those_of_scikit_learn_in_any_chunks(cube, chunks, standardize):
    result = build(environment(cube=lazy(cube, chunks)), result=components(n=3, standardize=standardize))
    assert result.dims == cube.dims
    assert result["bands"].values.tolist() == ["PC1", "PC2", "PC3"]
    assert result.dtype == np.float32
    assert result.odc.crs == cube.odc.crs
    rows, complete = rows_of(cube)
    fitted = PCA(3, whiten=standardize).fit(rows)
    weights = fitted.components_
    signs = np.sign(weights[np.arange(3), np.abs(weights).argmax(axis=1)])
    expected = np.full((12, 13, 3), np.nan)
    expected[complete] = fitted.transform(rows) * signs
    computed = result.compute(scheduler="sync").transpose("y", "x", "bands").values
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-5)
    deviations = computed[complete].std(axis=0, ddof=1)
    if standardize:
        np.testing.assert_allclose(deviations, 1, rtol=1e-5)
    else:
        assert (np.diff(deviations) < 0).all()


def test_components_of_several_dates_are_common_to_them(cube):
    dates = np.array(["2022-01-01", "2022-02-01"], "datetime64[ns]")
    two = xr.concat([cube, cube * 2 + 1], dim="t").assign_coords(t=dates)
    computed = build(environment(cube=two.chunk(t=1, x=4)), result=components(n=2)).compute(scheduler="sync")
    assert computed.dims == ("t", "bands", "y", "x")
    rows = two.transpose("t", "y", "x", "bands").values.reshape(-1, 4).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    explained = np.linalg.eigvalsh(np.cov(rows.T))[::-1][:2]
    ours = computed.transpose("bands", ...).values.reshape(2, -1)
    np.testing.assert_allclose(np.nanvar(ours.astype(float), axis=1, ddof=1), explained, rtol=1e-5)


def test_moments_keep_their_digits_far_from_zero():
    """Merged block by block, with values whose squares would swallow their differences."""
    rows = np.random.default_rng(0).normal(size=(999, 2)) + 1e7
    blocks = [moments(rows[i : i + 100]) for i in range(0, 999, 100)]
    blocks.insert(3, moments(np.full((4, 2), np.nan)))
    together = merged(blocks)
    assert together.count == 999
    np.testing.assert_allclose(together.products / 998, np.cov(rows.T), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("standardize", [False, True])
def test_components_without_variance_or_data(cube, standardize):
    flat = xr.full_like(cube, 7)
    computed = build(environment(cube=flat.chunk()), result=components(standardize=standardize))
    np.testing.assert_array_equal(computed.compute(scheduler="sync"), 0)
    empty = build(environment(cube=(flat * np.nan).chunk()), result=components(standardize=standardize))
    assert np.isnan(empty.compute(scheduler="sync")).all()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"n": 0}, "ProcessParameterInvalid", "between 1 and 4"),
        ({"n": 5}, "ProcessParameterInvalid", "between 1 and 4"),
        ({"dimension": "band"}, "DimensionNotAvailable", "band"),
    ],
)
def test_what_principal_components_refuses(cube, arguments, code, words):
    with pytest.raises(OpenEOError, match=words) as caught:
        build(environment(cube=lazy(cube)), result=components(**arguments))
    assert caught.value.code == code
