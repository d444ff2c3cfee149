"""`openeo-embed model evaluate`: table, numbers and figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli import evaluate
from models.evaluation import report, tasks
from tests.backend.server import run_inside


@pytest.mark.slow
def test_simulated_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "MOST", 500)  # learning from so many samples takes as long as all the rest
    out = tmp_path / "out"
    done = run_inside(
        "model",
        "evaluate",
        "demo",
        "--scenes",
        2,
        "--size",
        22,
        "--embeddings",
        1500,
        "--decoded",
        20,
        "--output",
        out,
        "--data",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "evaluation.json").read_text("utf-8"))["simulated"]
    assert 1000 < results["samples"] <= 1500 < results["available"]
    assert len(results["sites"]) == 2
    assert 0 < results["coherence"]["embedding"]["inside"] < results["coherence"]["embedding"]["across"]
    assert {r["of"] for r in results["reconstruction"]["s1"]} >= {"all", "VV", "VH"}
    table = (out / "evaluation.md").read_text("utf-8")
    assert "openeo-embed model evaluate demo --scenes 2 --size 22 --embeddings 1500 --decoded 20" in table
    assert "a sample, 2 x 2 pixels in every" in table
    assert "| s2 | B08 |" in table
    assert table.splitlines()[-1] in done.stdout
    assert (out / "simulated.png").stat().st_size > 20_000


def test_the_command_and_the_headings_are_those_of_the_run(monkeypatch):
    monkeypatch.setattr(report, "to_markdown", lambda results: [])
    said = evaluate._command("demo", 1, 40, Path("a/site"), Path("a/labels.nc"), "LC", 2000, 10)
    assert said == (
        "openeo-embed model evaluate demo --scenes 1 --size 40 --embeddings 2000 --decoded 10 "
        "--site site --labels labels.nc --variable LC"
    )
    assert "--variable" not in evaluate._command("demo", 1, 40, None, None, "CT", 2000, 10)
    headings = [
        evaluate._table("simulated", {"sites": ["a", "b"][:sites], "answering": answering})[1]
        for sites, answering in ((2, 2), (2, 1), (1, 1))
    ]
    assert headings == [
        "## Simulated scenes, half of them held out",
        "## Simulated scenes, fields held out",
        "## Simulated scene, fields held out",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nosuch",), "nosuch"),
        (("demo", "--scenes", "0"), "--scenes above 0, or --site"),
        (("demo", "--labels", __file__), "--labels needs --site"),
        (("demo", "--scenes", "0", "--site", "."), "is no collection"),
    ],
)
def test_what_cannot_be_evaluated_is_said(arguments, said, tmp_path):
    done = run_inside("model", "evaluate", *arguments, "--output", tmp_path / "out", "--data", tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
