"""A default container refuses namespaces: its system call filter does not let `unshare` and `mount` pass."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.udf.sandbox.conftest import GUESTS
from udf.sandbox import landlock, system

IN_A_CONTAINER = f"""
import ctypes, json, struct
from pathlib import Path
from udf.sandbox import Limits, Sandbox, offered
from udf.sandbox.system import number, prctl

steps = [(0x20, 0, 0, 0)]
for name in ("unshare", "mount_setattr", "pivot_root"):
    steps += [(0x15, 0, 1, number(name)), (0x06, 0, 0, 0x50001)]
code = b"".join(struct.pack("<HBBI", *step) for step in [*steps, (0x06, 0, 0, 0x7FFF0000)])
buffer = ctypes.create_string_buffer(code, len(code))
header = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
prctl(38, 1)
prctl(22, 2, ctypes.addressof(header))

offer, answer = offered(), None
if offer.level != "none":
    with Sandbox(Limits(), handler="running_guest:run", read_only=[Path({str(GUESTS)!r})]) as box:
        answer = box.call({{"code": "answer = {{'sum': 2}}"}}, [])[0]
print(json.dumps([offer.level, offer.reasons.get("namespaces"), offer.refusal, answer]))
"""


def test_landlock_serves_where_namespaces_are_refused():
    if system.machine() is None:
        assert landlock.version() == 0
        return
    command = [sys.executable, "-c", IN_A_CONTAINER]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    level, reason, refusal, answer = json.loads(ended.stdout)
    assert "unshare: Operation not permitted" in reason
    if landlock.version():
        assert (level, answer) == ("landlock", {"sum": 2})
    else:
        assert (level, answer) == ("none", None)
        assert "unshare: Operation not permitted" in refusal
