"""Every hostile piece of code fails, at every level that this system offers, whoever runs the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing

import pytest

from tests.attacks.harness import ROOT, Range, fault
from tests.attacks.hostile_code import ATTACKS
from udf.sandbox import offered
from udf.sandbox.offer import LEVELS

ORDINARY = 12345  # a user that owns nothing here


@pytest.fixture(scope="module", params=LEVELS)
def level(request):
    if request.param not in offered().levels:
        pytest.skip(f"{request.param} is not offered here: {offered().reasons[request.param]}")
    return request.param


@pytest.fixture(scope="module")
def field(level, tmp_path_factory):
    with closing(Range(level, tmp_path_factory.mktemp("server"))) as field:
        yield field


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_fails_as_whoever_runs_the_tests(field, attack):
    assert fault(attack, field.outcome(attack)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests above ran as an ordinary user already")
def test_all_fail_as_an_ordinary_user(level):
    command = [sys.executable, "-m", "tests.attacks.harness", level, str(ORDINARY)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    outcomes = json.loads(ended.stdout)
    if "refused" in outcomes:
        pytest.skip(f"an ordinary user is refused: {outcomes['refused']}")
    faults = {attack.name: text for attack in ATTACKS if (text := fault(attack, outcomes[attack.name]))}
    assert faults == {}
