"""The report says who wins, also where the embeddings do not."""

from __future__ import annotations

import pytest

from models.evaluation.report import draw_figure, to_markdown
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


def test_the_figure_is_drawn(results, tmp_path):
    from PIL import Image

    draw_figure(tmp_path / "figure.png", "title", results, [make_samples(0, "bands")])
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.size[0] > 1000
