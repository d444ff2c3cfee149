"""What users' code says in tasks: sent while the task runs, in small batches, and heard once by whoever waits for it.

A message is known by the call that it is of and by its place in that call: a task that is computed again says the same
ones, and they are heard only once.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

Entry = dict[str, Any]

SECONDS = 0.25  # messages are sent together that come within so long
# Of one request from one worker: whoever hears them keeps no more anyway, and they pass through the scheduler.
MOST = 1_000
MOST_BYTES = 2**20
_REQUESTS = 100  # whose messages a worker counts
_PROPERTIES = ("level", "code", "message", "data")


class Room:
    """How many more messages of one request a worker sends; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = self._bytes = 0
        self._is_full = False

    def admitted(self, entry: Mapping[str, Any]) -> str | None:
        """Return the message as JSON; in place of the first that is too much one that says so, and then None."""
        text = json.dumps({key: entry[key] for key in _PROPERTIES if key in entry}, default=str)
        with self._lock:
            self._number, self._bytes = self._number + 1, self._bytes + len(text)
            if self._number <= MOST and self._bytes <= MOST_BYTES:
                return text
            if self._is_full:
                return None
            self._is_full = True
        most = f"{MOST} messages or {MOST_BYTES // 2**20} MiB"
        return json.dumps({"level": "warning", "message": f"A worker has sent {most}; it leaves out the others."})


_rooms: OrderedDict[str, Room] = OrderedDict()
_lock = threading.Lock()


def room_of(topic: str) -> Room:
    """Return the room that this worker has for the messages of a request."""
    with _lock:
        room = _rooms.setdefault(topic, Room())
        _rooms.move_to_end(topic)
        while len(_rooms) > _REQUESTS:
            _rooms.popitem(last=False)
    return room


class Telling:
    """Sends what one call says, for as long as the block runs.

    Parameters
    ----------
    send : callable
        Takes a batch: ``call``, and ``said``, pairs of a message's number in the call and its JSON.
    call : str
        The same one each time that this call is made.
    room : Room
    """

    def __init__(self, send: Callable[[Entry], None], call: str, room: Room) -> None:
        self._send, self._call, self._room = send, call, room
        self._lock = threading.Lock()
        self._number = 0
        self._held: list[tuple[int, str]] = []
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._flush()

    def say(self, entry: Mapping[str, Any]) -> None:
        """Send a message soon, with those that follow at once."""
        text = self._room.admitted(entry)
        with self._lock:
            number, self._number = self._number, self._number + 1
            if text is None:
                return
            self._held.append((number, text))
            if self._timer is None:
                self._timer = threading.Timer(SECONDS, self._flush)
                self._timer.daemon = True
                self._timer.start()

    def _flush(self) -> None:
        with self._lock:  # also while it is sent: else a later batch could go first
            self._timer = None
            held, self._held = self._held, []
            if held:
                self._send({"call": self._call, "said": held})


class Heard:
    """Hands on each message of a request once, whatever is computed again.

    Parameters
    ----------
    say : callable
        Takes the messages, those of each call in their order.
    """

    def __init__(self, say: Callable[[Entry], None]) -> None:
        self._say = say
        self._next: dict[str, int] = {}

    def __call__(self, batch: Mapping[str, Any]) -> None:
        """Take a batch that a `Telling` has sent."""
        call = batch["call"]
        for number, text in batch["said"]:
            if number >= self._next.get(call, 0):
                self._next[call] = number + 1
                self._say(json.loads(text))
