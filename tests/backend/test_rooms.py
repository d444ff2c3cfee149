"""A room takes so many at once, lets as many wait, and sends all others away at once."""

from __future__ import annotations

import threading
import time

import pytest

from backend.rooms import Room
from processes.errors import OpenEOError


def test_one_who_waits_gets_the_place_that_becomes_free() -> None:
    room, entered = Room(1, "checks"), threading.Event()

    def work() -> None:
        with room.entered(10):
            entered.set()

    with room.entered(0):
        thread = threading.Thread(target=work)
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    assert entered.is_set()


def test_whoever_waits_in_vain_is_told_to_come_again() -> None:
    room = Room(1, "checks")
    with room.entered(0), pytest.raises(OpenEOError, match="try again") as raised, room.entered(0.01):
        pass
    assert raised.value.code == "InfrastructureBusy"
    with room.entered(0):  # nothing is left of either
        pass


def test_when_the_door_is_crowded_nobody_waits() -> None:
    room, leave = Room(1, "checks"), threading.Event()
    inside = threading.Semaphore(0)

    def stay() -> None:
        with room.entered(10):
            inside.release()
            leave.wait(10)

    threads = [threading.Thread(target=stay) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=10)
    end = time.monotonic() + 10
    while room._inside.acquire(blocking=False):  # until the second one waits at the door
        room._inside.release()
        assert time.monotonic() < end
        time.sleep(0.01)
    refused = threading.Event()

    def come() -> None:
        with pytest.raises(OpenEOError), room.entered(60):
            pass
        refused.set()

    third = threading.Thread(target=come)
    third.start()
    assert refused.wait(10)
    leave.set()
    for thread in [*threads, third]:
        thread.join()
