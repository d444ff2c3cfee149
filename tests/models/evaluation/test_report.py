"""The report says who wins, also where the embeddings do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import load_model
from models.evaluation import Site
from models.evaluation.report import NO_SAMPLES, TITLES, draw_figure, evaluate, to_markdown
from models.evaluation.tasks import subset
from tests.models.evaluation.sites import make_samples


@pytest.fixture
def results():
    tasks = {
        kind: {"linear": value, "forest": value}
        for kind, value in (("embedding", 0.5), ("bands", 0.8), ("components", 0.4))
    }
    row = {"by": "band", "of": "B02", "n": 7, "stage1": 0.1, "fusion": 0.2, "constant": 0.3}
    smooth = {"embedding": {"change": 1, "noise": 0.1}, "bands": {"change": 2, "noise": 0.2}}
    return {
        "sites": ["a", "b"],
        "samples": 12,
        "available": 40,
        "step": 4,
        "size": 7,
        "components": 7,
        "land_cover_by_date": tasks,
        "land_cover_by_year": tasks,
        "productivity": "it is not known",
        "smoothness": smooth | {"components": {"change": 0.5, "noise": 0.3}},
        "coherence": {k: {"inside": 1, "across": r, "ratio": r} for k, r in zip(tasks, (3, 2, 1), strict=True)},
        "reconstruction": {"s2": [row]},
    }


def test_the_best_is_marked_and_defeats_are_said(results):
    text = "\n".join(to_markdown(results))
    assert "| 0.500 | **0.800** | 0.400 |" in text
    assert "| noise | **0.100** | 0.200 | 0.300 |" in text
    said = "better in 4 of 6 comparisons: Land cover from one date, balanced accuracy (linear: 0.800 against 0.500)"
    assert said in text
    assert "noise: " not in text.split("comparisons")[1]
    assert "it is not known" in text
    assert "40 pixels and dates can be embedded" in text
    assert "a sample, 2 x 2 pixels in every 4 x 4 on all their dates (12 where" in text
    assert "are from all of them (12 " in "\n".join(to_markdown({**results, "step": 2}))
    assert "| s2 | B02 | 7 | 0.10000 | 0.20000 | 0.30000 |" in text


def test_what_cannot_be_compared_is_not_won(results):
    unknown = {kind: {"change": 1.0, "noise": float("nan")} for kind in ("embedding", "bands", "components")}
    titles = dict.fromkeys(("land_cover_by_date", "land_cover_by_year", "productivity", "coherence"), "not known")
    text = "\n".join(to_markdown({**results, **titles, "smoothness": unknown}))
    assert "Nothing could be compared." in text
    assert "**" not in text


def test_ties_go_to_nobody_and_errors_are_not_counted_beside_r2(results):
    equal = {kind: {"linear": 0.5001, "forest": 0.5} for kind in ("embedding", "bands", "components")}
    scores = {"embedding": 0.9, "bands": 0.8, "components": 0.7}
    gpp = {kind: {"ridge_r2": r, "forest_r2": r, "forest_rmse": 1 - r} for kind, r in scores.items()}
    answers = {"land_cover_by_date": equal, "land_cover_by_year": "not known", "productivity": gpp}
    text = "\n".join(to_markdown({**results, **answers}))
    assert "The embeddings are best in 4 of 6 comparisons. Ties: 2 of 6." in text
    assert "| forest rmse | 0.100 | 0.200 | 0.300 |" in text
    assert "**0.500**" not in text
    assert "**0.900**" in text
    equal["bands"]["forest"] = equal["components"]["forest"] = 0.6  # both of them are better
    text = "\n".join(to_markdown({**results, **answers}))
    assert "better in 1 of 6 comparisons: Land cover from one date, balanced accuracy (forest: 0.600 aga" in text
    assert text.count("Ties: 1 of 6.") == 1


def test_fewer_components_than_numbers_are_told(results):
    assert "| as many principal components of the bands |" in to_markdown(results)[2]
    assert "| 2 principal components of the bands |" in to_markdown({**results, "components": 2})[2]


def test_sites_without_a_pixel_to_embed_are_left_out():
    model, random = load_model("demo"), np.random.default_rng(0)
    times = np.datetime64("2022-01-01", "ns") + 5 * np.timedelta64(1, "D") * np.arange(12)
    cubes = {m: random.random((c, 12, 17, 17), np.float32) for m, c in (("s1", 2), ("s2", 10))}
    fields = np.arange(17 * 17).reshape(17, 17) // 17 // 8
    seen = Site("seen", cubes, dict.fromkeys(cubes, times), fields, {0: "a", 1: "b"}, fields)
    cloudy = replace(seen, name="cloudy", cubes={m: np.full_like(c, np.nan) for m, c in cubes.items()})
    results, samples = evaluate(model, [cloudy, seen], decoded=2)
    assert [s.site.name for s in samples] == ["seen"]
    assert results["sites"] == ["cloudy", "seen"]
    assert results["answering"] == 1
    assert results["components"] == 7
    assert np.isfinite(results["smoothness"]["embedding"]["change"])
    assert results["coherence"]["bands"]["inside"] > 0
    results, samples = evaluate(model, [cloudy], decoded=2)
    assert samples == []
    assert {results[name] for name in TITLES} == {NO_SAMPLES}
    text = "\n".join(to_markdown(results))
    assert f"| Change in time, standard deviations | not asked: {NO_SAMPLES} |" in text
    assert "Nothing could be compared." in text


@pytest.mark.parametrize("many", [None, 70, 1])
def test_the_figure_is_drawn(results, tmp_path, many):
    """Also of a single pixel's dates, and of a single one."""
    from PIL import Image

    samples = make_samples(0, "bands", side=8)
    samples = subset(samples, np.arange(len(samples))[:many])
    draw_figure(tmp_path / "figure.png", "title", results, [samples])
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.size[0] > 1000
