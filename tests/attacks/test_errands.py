"""Boxes that download packages, at every level that this system offers, whoever runs the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.errands import expected, outcome
from tests.attacks.harness import ROOT
from tests.attacks.test_udf_attacks import ORDINARY
from udf.fetching import _taken_over
from udf.sandbox import offered
from udf.sandbox.errand import Errand, ErrandError
from udf.sandbox.offer import LEVELS
from udf.wheels import WheelError


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    if request.param not in offered().levels:
        pytest.skip(f"{request.param} is not offered here: {offered().reasons[request.param]}")
    return str(request.param)


def test_a_hostile_box_reaches_only_the_index_and_its_folder(level: str, tmp_path: Path) -> None:
    became = outcome(level, tmp_path)
    assert (became["worked"], became["harm"]) == (expected(), [])
    assert became["installed"] == ["helper_udf", "tinyudf"]


@pytest.mark.skipif(os.geteuid() != 0, reason="the test above ran as an ordinary user already")
def test_so_it_is_for_an_ordinary_user(level: str) -> None:
    command = [sys.executable, "-m", "tests.attacks.errands", level, str(ORDINARY)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if "user namespaces" in ended.stderr or "unshare: Operation not permitted" in ended.stderr:
        pytest.skip("an ordinary user is refused namespaces here")
    assert ended.returncode == 0, ended.stderr[-2000:]
    became = json.loads(ended.stdout)
    assert (became["worked"], became["harm"]) == (expected(), [])
    assert became["installed"] == ["helper_udf", "tinyudf"]


@pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")
def test_boxes_that_do_not_end_or_die_are_told(tmp_path: Path) -> None:
    with pytest.raises(ErrandError, match="more than 1 seconds") as late:
        Errand("builtins:eval", tmp_path, seconds=1).run("[0 for _ in iter(int, 1)]")  # type: ignore[arg-type]
    assert late.value.kind == "time"
    with pytest.raises(ErrandError, match="ended with 3") as dead:
        Errand("builtins:eval", tmp_path).run("__import__('os')._exit(3)")  # type: ignore[arg-type]
    assert dead.value.kind == "crashed"
    with pytest.raises(ErrandError) as small:
        Errand("builtins:eval", tmp_path, memory=2**28).run("len(bytearray(2**30))")  # type: ignore[arg-type]
    assert small.value.kind == "MemoryError"


def test_links_that_a_box_has_left_are_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "a.py").symlink_to(tmp_path / "secret")
    with pytest.raises(WheelError, match="neither a file nor a folder"):
        _taken_over(tmp_path / "packages")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
