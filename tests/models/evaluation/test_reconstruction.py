"""Errors of the centre pixel are those of the model run window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import load_model
from models.embed import embed_cube
from models.evaluation import Site, encode, reconstruction_errors, take_samples, thinned, windows_of
from models.frames import WindowList
from models.network import TwoStageModel


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def site():
    random = np.random.default_rng(0)
    times = np.datetime64("2022-01-01", "ns") + 5 * np.timedelta64(1, "D") * np.arange(13)
    cubes = {m: random.random((c, 13, 16, 16), np.float32) for m, c in (("s1", 2), ("s2", 10))}
    cubes["s2"][:, 3, :4] = np.nan
    return Site(
        name="noise",
        cubes=cubes,
        times={"s1": times, "s2": times},
        land_cover=np.ones((16, 16), np.int64),
        classes={1: "noise"},
        fields=np.zeros((16, 16), np.int64),
    )


def test_errors_equal_those_of_whole_windows(model, site):
    windows = windows_of(model, site)
    x, gaps = {}, {}
    for m, cube in site.cubes.items():
        parts = []
        for frames, row, column in zip(windows.frames[m], windows.row, windows.column, strict=True):
            part = cube[:, frames, row : row + 15, column : column + 15]
            fill = np.nanmean(part, axis=(1, 2, 3), keepdims=True)
            parts.append(np.where(np.isnan(part), fill, part).swapaxes(0, 1))
        x[m], gaps[m] = torch.from_numpy(np.stack(parts)), torch.from_numpy(windows.gaps[m])
    with torch.inference_mode():
        z = model.encode(x, gaps)
        both = model.decode(model.fusion(z, torch.from_numpy(windows.delta)), gaps)
        alone = {m: model.decoders[m](z[m], gaps[m], model.encoder(m).context) for m in z}
    rows = reconstruction_errors(model, [encode(model, site, windows)])
    for m in x:
        found = {r["of"]: r for r in rows[m]}
        truth = x[m][:, 5, :, 7, 7]
        assert found["all"]["n"] == len(windows) > 8
        assert found["all"]["fusion"] == pytest.approx((both[m][:, 5, :, 7, 7] - truth).abs().mean().item(), abs=1e-5)
        assert found["all"]["stage1"] == pytest.approx((alone[m][:, 5, :, 7, 7] - truth).abs().mean().item(), abs=1e-5)
        assert found["noise"] == {**found["all"], "by": "class", "of": "noise"}
    assert found["B02"]["constant"] == pytest.approx(0.25, abs=0.1)
    assert found["0% to 5% missing"]["n"] == len(windows)


def test_few_windows_are_drawn_of_many(model, site):
    encoded = encode(model, site, windows_of(model, site))
    rows = reconstruction_errors(model, [encoded, encoded], most=6)
    assert rows["s1"][0]["n"] == rows["s2"][0]["n"] == 6
    assert [r["of"] for r in rows["s1"] if r["by"] == "band"] == ["VV", "VH"]


def test_samples_hold_the_bands_of_their_date(model, site):
    samples = take_samples(model, encode(model, site, windows_of(model, site)))
    assert samples.embedding.shape == (len(samples), 7)
    assert len(samples) > 0
    date = {t: i for i, t in enumerate(site.times["s2"])}
    for i in range(0, len(samples), 5):
        at = (slice(None), date[samples.time[i]], samples.row[i], samples.column[i])
        np.testing.assert_array_equal(samples.bands[i], [*site.cubes["s1"][at], *site.cubes["s2"][at]])
    whole = embed_cube(model, site.cubes, site.times)
    dates = [date[t] for t in samples.time]
    np.testing.assert_allclose(samples.embedding, whole[:, dates, samples.row, samples.column].T, rtol=0, atol=5e-6)


def test_a_sample_keeps_pairs_of_pixels_with_all_their_dates(site):
    def listed(side):
        row, column, date = (a.ravel() for a in np.meshgrid(range(side), range(side), range(3), indexing="ij"))
        none = {"s2": np.zeros((len(row), 11), np.int64)}
        return WindowList(row, column, date, none, none, np.zeros(len(row), np.int64))

    assert thinned([listed(9)], 9 * 9 * 3)[1] == 2
    kept, step = thinned([listed(9), listed(8)], 200)
    assert step == 4  # every third would be 36 + 36 pixels of three dates
    assert sum(map(len, kept)) == (5 * 5 + 4 * 4) * 3
    assert set(kept[0].row) == {0, 1, 4, 5, 8}
    assert np.bincount(kept[0].row * 9 + kept[0].column).max() == 3


def test_windows_without_an_optional_sensor_are_left_out(model, site):
    card = replace(
        model.card, modalities=tuple(replace(m, optional=m.id != model.card.reference) for m in model.card.modalities)
    )
    optional = TwoStageModel(card).eval()
    optional.load_state_dict(model.state_dict())
    empty = {"s1": np.full_like(site.cubes["s1"], np.nan), "s2": site.cubes["s2"]}
    assert len(windows_of(optional, replace(site, cubes=empty))) == 0
    assert len(windows_of(optional, site)) == len(windows_of(model, site))
