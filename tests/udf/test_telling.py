"""What users' code says in tasks: in batches, in order, bounded, and once."""

from __future__ import annotations

import threading
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from tests.backend.clusters import one_worker
from tests.udf.inline import InlineSandboxes
from udf import telling
from udf.rules import UserCodeRules
from udf.telling import Heard, Room, Telling, room_of
from udf.user_code import Expected, Given, UserCode, run_on_blocks

CODE = (
    "def apply_datacube(cube, context):\n    place = int(cube.x[0])\n"
    "    print('first', place); print('second', place)\n    inspect(10**30, 'large')\n    return cube\n"
)


def entry(message: str) -> dict[str, Any]:
    return {"level": "info", "message": message}


def test_a_message_is_sent_while_the_call_goes_on() -> None:
    sent: list[dict[str, Any]] = []
    came = threading.Event()

    def send(batch: dict[str, Any]) -> None:
        sent.append(batch)
        came.set()

    with Telling(send, "call", Room()) as log:
        log.say(entry("a"))
        log.say(entry("b"))
        assert came.wait(10)
        assert [len(batch["said"]) for batch in sent] == [2]
        log.say(entry("c"))
    heard: list[dict[str, Any]] = []
    for batch in sent:
        Heard(heard.append)(batch)
    assert [item["message"] for item in heard] == ["a", "b", "c"]


def test_what_a_second_attempt_says_again_is_heard_once() -> None:
    heard: list[dict[str, Any]] = []
    hear = Heard(heard.append)
    for attempt in ("ab", "abcd", "abcd"):
        with Telling(hear, "call", Room()) as log:
            for message in attempt:
                log.say(entry(message))
    with Telling(hear, "another call", Room()) as log:
        log.say(entry("a"))
    assert [item["message"] for item in heard] == ["a", "b", "c", "d", "a"]


def test_a_worker_sends_no_more_than_anybody_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST", 3)
    heard: list[dict[str, Any]] = []
    room = Room()
    for call in ("one", "two"):
        with Telling(Heard(heard.append), call, room) as log:
            for number in range(5):
                log.say(entry(str(number)))
    assert [item["message"] for item in heard[:3]] == ["0", "1", "2"]
    assert [item["level"] for item in heard[3:]] == ["warning"]
    large: list[dict[str, Any]] = []
    with Telling(Heard(large.append), "large", Room()) as log:
        log.say(entry("x" * telling.MOST_BYTES))
    assert [item["level"] for item in large] == ["warning"]


def test_the_rooms_of_old_requests_are_forgotten() -> None:
    first = room_of("old")
    assert room_of("old") is first
    for number in range(200):
        room_of(f"request-{number}")
    assert room_of("old") is not first
    assert len(telling._rooms) <= 100


def test_blocks_that_are_computed_twice_are_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udf.isolation.open_sandbox", InlineSandboxes())
    code = UserCode(CODE, {}, UserCodeRules(), "topic-of-twice")
    given = Given(("t", "x"), {"x": xr.Variable("x", np.arange(6))})
    values = da.zeros((2, 6), chunks=(2, 3))
    made = run_on_blocks(values, code, given, Expected(("t", "x"), np.dtype(float)))
    heard: list[dict[str, Any]] = []
    with one_worker() as local:
        cluster = DaskCluster(local.scheduler_address)
        with cluster.listening(code.topic, Heard(heard.append)):
            for attempt in "ab":
                cluster.compute(SyncRequest(attempt, "anna", {}), made, Deadline(60))
        cluster.close()
    said = [item["message"] for item in heard]
    assert sorted(said) == ["first 0", "first 3", "large", "large", "second 0", "second 3"]
    assert all(said.index(f"first {place}") < said.index(f"second {place}") for place in (0, 3))
    assert {item["data"] for item in heard if "data" in item} == {10**30}
