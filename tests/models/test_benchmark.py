"""What the benchmark measures is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from models import benchmark
from models.embed import Embedder
from tests.golden.seeded import seeded_model


@pytest.fixture(scope="module")
def model():
    return seeded_model()


def test_half_of_an_area_is_cloud_in_blobs_of_about_that_width():
    random = np.random.default_rng(0)
    small, large = (benchmark.blobs(random, 400, width) for width in (8, 40))
    for cloudy in (small, large):
        assert 0.4 < cloudy.mean() < 0.6
    runs = [cloudy.size / max((np.diff(cloudy.astype(int), axis=1) != 0).sum(), 1) for cloudy in (small, large)]
    assert 4 < runs[0] < 24
    assert 3 < runs[1] / runs[0] < 8


def test_a_case_is_as_long_and_as_cloudy_as_its_name_says(model):
    for case in benchmark.CASES:
        cubes, times = benchmark.make_case(case, model, 8)
        windows = benchmark.windows_of(model, cubes, times)
        dates = int(case.series.split()[-2]) - 10 if "of" in case.series else 1
        assert len(set(windows.date)) == dates or case.blobs
        assert len(windows) == 64 * dates or (case.blobs and len(windows) < 64 * dates)


def test_errors_and_work_are_measured(model):
    cubes, times = benchmark.make_case(benchmark.Case("one date"), model, 4)
    drawn = benchmark.sample(benchmark.windows_of(model, cubes, times), 4)
    expected = benchmark.reference(model, cubes, drawn)
    result = benchmark.measure(Embedder(model, "dense"), cubes, times, expected)
    assert 0 < result.error < 5e-6
    assert result.rate > 0
    rate, values = benchmark.measure_alone(model, cubes, drawn, decode=True)
    assert rate > 0
    assert 0 < expected.error_of(values) < 5e-6
    assert expected.error_of(values + 1) > 0.9
    one_date, series = (
        benchmark.work_per_embedding(model, benchmark.make_case(benchmark.Case(s), model, 64)[0])
        for s in ("one date", "35 of 45 dates")
    )
    assert benchmark.alone_work(model) > 10 * one_date > 40 * series
    eleven = benchmark.make_case(benchmark.Case("one date"), model, 64)[0]
    spared = one_date - benchmark.work_per_embedding(model, eleven, minimal=True)
    assert spared == pytest.approx(2 * 2 * 11 * (320 * 128**2 + 108 * 64 * 16))  # two sensors, eleven frames


def test_traffic_is_counted_for_what_frames_share(model):
    one_date, series = (benchmark.make_case(benchmark.Case(s), model, 64)[0] for s in ("one date", "35 of 45 dates"))
    exact, rounded = (benchmark.bytes_per_embedding(model, series, r) for r in (False, True))
    assert exact == 2 * rounded
    assert benchmark.bytes_per_embedding(model, one_date, False) > 5 * exact
    assert 2e6 < exact < 6e6  # a few megabytes
