"""Smoothness and coherence on series and fields whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation import TaskError, coherence, smoothness
from models.evaluation.features import components_of, learn_features
from models.evaluation.tasks import subset
from tests.models.evaluation.sites import make_samples


def test_a_straight_line_has_no_noise_and_independent_errors_have_all_of_it():
    samples = make_samples(0, "bands")
    day = ((samples.time - samples.time.min()) / np.timedelta64(1, "D")).astype(np.float32)
    line = replace(samples, embedding=np.stack([day, -day], 1))
    errors = replace(samples, embedding=np.random.default_rng(0).normal(size=(len(day), 2)).astype(np.float32))
    assert smoothness([line])["embedding"]["noise"] == pytest.approx(0, abs=1e-4)
    assert smoothness([line])["embedding"]["change"] == pytest.approx(5 / day.std(), rel=1e-3)
    answer = smoothness([errors])["embedding"]
    assert answer["noise"] == pytest.approx(1, abs=0.02)
    assert answer["change"] == pytest.approx(np.sqrt(2), abs=0.03)


def test_fields_stand_out_where_features_show_them():
    samples = make_samples(0, "embedding", noise=0.01)
    flat = replace(samples, embedding=samples.land_cover[:, None] * np.ones((1, 2), np.float32))
    answer = coherence([flat])
    assert answer["embedding"]["inside"] == 0
    assert answer["embedding"]["across"] == pytest.approx(
        np.sqrt(2), rel=1e-3
    )  # half of them: two apart, the others none
    assert answer["bands"]["ratio"] == pytest.approx(1, abs=0.05)


def test_as_many_components_as_there_are_bands_or_samples():
    samples = make_samples(0, "bands", side=8)
    one_band = replace(samples, bands=samples.bands[:, :1])
    assert smoothness([one_band])["components"] == pytest.approx(smoothness([one_band])["bands"], rel=1e-3)
    assert learn_features("components", [one_band])(one_band).shape == (len(one_band), 1)
    assert components_of([subset(samples, np.arange(2))]) == 2
    with pytest.raises(TaskError, match="need two"):
        smoothness([subset(samples, np.arange(1))])


def test_unknown_fields_do_not_count():
    samples = make_samples(0, "embedding")
    left = np.where(np.arange(16) < 8, samples.site.fields, -1)
    half = replace(samples, site=replace(samples.site, fields=left))
    assert coherence([half])["embedding"]["ratio"] == pytest.approx(coherence([samples])["embedding"]["ratio"], rel=0.2)


def test_without_neighbours_in_two_fields_there_is_no_answer():
    samples = make_samples(0, "embedding", side=8)
    one = replace(samples, site=replace(samples.site, fields=np.zeros_like(samples.site.fields)))
    with pytest.raises(TaskError, match="no two neighbouring pixels"):
        coherence([one])
