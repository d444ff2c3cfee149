"""`openeo-embed model evaluate`: table, numbers and figure."""

from __future__ import annotations

import json

import pytest

from tests.backend.server import run_command, run_inside


@pytest.mark.slow
def test_simulated_scenes(tmp_path):
    out = tmp_path / "out"
    done = run_command(
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
        timeout=400,
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
