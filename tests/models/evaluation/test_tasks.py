"""Tasks find what is there, and do not find what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation import TaskError, land_cover_by_date, land_cover_by_year, productivity, tasks
from models.evaluation.samples import NO_CLASS
from models.evaluation.tasks import subset
from tests.models.evaluation.sites import make_samples


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """What is made up here is told from a quarter of the samples as well."""
    monkeypatch.setattr(tasks, "MOST", 1000)


@pytest.mark.parametrize("signal", ["embedding", "bands"])
@pytest.mark.parametrize("sites", [1, 2])
def test_land_cover_is_told_by_the_features_that_show_it(signal, sites):
    samples = [make_samples(i, signal) for i in range(sites)]
    by_date, by_year = land_cover_by_date(samples), land_cover_by_year(samples)
    blind = {"embedding": ["bands", "components"], "bands": ["embedding"]}[signal]
    for answer in (by_date, by_year):
        for measure in ("linear", "forest"):
            assert answer[signal][measure] > 0.9
            assert all(0.3 < answer[kind][measure] < 0.7 for kind in blind)


def test_what_tells_fields_but_not_classes_does_not_help():
    samples = make_samples(0, "bands")
    rng = np.random.default_rng(1)
    signature = rng.normal(0, 1, (samples.site.fields.max() + 1, 3)).astype(np.float32)
    leaking = replace(samples, embedding=signature[samples.field] + 0.01 * samples.embedding)
    answer = land_cover_by_date([leaking])
    assert answer["embedding"]["forest"] < 0.8  # with pixels of the same fields in training it would be 1


def test_classes_must_grow_in_two_fields():
    samples = make_samples(0, "bands")
    cover = np.where(samples.site.fields == 1, 1, np.where(samples.site.fields % 2 == 0, 0, NO_CLASS))
    rare = replace(samples, site=replace(samples.site, land_cover=cover))
    with pytest.raises(TaskError, match="only 1 class"):
        land_cover_by_date([rare])


def test_sites_must_share_two_classes():
    samples = [make_samples(i, "bands") for i in range(2)]
    other = replace(samples[1], site=replace(samples[1].site, land_cover=samples[1].site.land_cover + 1))
    with pytest.raises(TaskError, match="fewer than two classes in common"):
        land_cover_by_date([samples[0], other])


@pytest.mark.parametrize("signal", ["embedding", "bands"])
def test_productivity_is_told_by_the_season(signal):
    samples = [make_samples(i, signal) for i in range(2)]
    answer = productivity(samples)
    blind = {"embedding": "bands", "bands": "embedding"}[signal]
    assert answer[signal]["ridge_r2"] > 0.8
    assert answer[signal]["forest_r2"] > 0.8
    assert answer[blind]["ridge_r2"] < 0.2
    assert answer[signal]["forest_rmse"] < answer[blind]["forest_rmse"]


def test_productivity_needs_two_places():
    with pytest.raises(TaskError, match="known at 1 sites"):
        productivity([make_samples(0, "bands")])


def test_sparse_series_are_no_windows():
    samples = make_samples(0, "bands", side=8)
    sparse = subset(samples, np.flatnonzero(np.isin(samples.time, samples.time[:70][::14])))
    with pytest.raises(TaskError, match="three embeddings within 90 days"):
        productivity([sparse, sparse])
