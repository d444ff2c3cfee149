"""Messages between a call and its caller: a letter, a length and a JSON object, over a local socket."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

LOG, ANSWER, ERROR = b"L", b"A", b"E"
HEAD = struct.Struct("<cI")
LARGEST_LOG = 16 << 10  # bytes of a message
LARGEST = 16 << 20  # bytes of an answer without its arrays
MOST_LOGS = 1000


class BadFrame(ValueError):
    """Bytes that are no message, or one beyond its size."""


class Sender:
    """Sends messages from the guest's threads, whole and in turn; logs are cut in size and number."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._lock = threading.Lock()
        self._logs = 0

    def log(self, entry: dict[str, Any]) -> None:
        """Send a message to the caller at once; beyond `MOST_LOGS` one says that the others are left out."""
        with self._lock:
            self._logs += 1
            if self._logs == MOST_LOGS:
                entry = {"level": "warning", "message": f"More than {MOST_LOGS - 1} messages: the others are left out."}
            if self._logs <= MOST_LOGS:
                self._send(LOG, _fitting(entry))

    def send(self, letter: bytes, content: dict[str, Any]) -> None:
        """Send an answer or an error."""
        with self._lock:
            self._send(letter, json.dumps(content).encode())

    def _send(self, letter: bytes, body: bytes) -> None:
        self._connection.sendall(HEAD.pack(letter, len(body)) + body)


class Receiver:
    """Takes messages apart as their bytes come in, and trusts none of them."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, received: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield each message that is whole now; raises BadFrame."""
        self._held += received
        while len(self._held) >= HEAD.size:
            letter, length = HEAD.unpack_from(self._held)
            if letter not in (LOG, ANSWER, ERROR) or length > (LARGEST_LOG if letter == LOG else LARGEST):
                raise BadFrame("a message of a wrong kind or size")
            if len(self._held) < HEAD.size + length:
                return
            body = bytes(self._held[HEAD.size : HEAD.size + length])
            del self._held[: HEAD.size + length]
            yield letter, _parsed(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadFrame("a message that is no JSON") from error
    if not isinstance(content, dict):
        raise BadFrame("a message that is no JSON object")
    return content


def _fitting(entry: dict[str, Any]) -> bytes:
    """The entry as JSON; where too long, its text cut and its other values left out."""
    try:
        body = json.dumps(entry).encode()
    except (TypeError, ValueError, RecursionError):
        body = b" " * (LARGEST_LOG + 1)
    if len(body) <= LARGEST_LOG:
        return body
    text = str(entry.get("message", ""))[: LARGEST_LOG // 16]
    return json.dumps({"level": str(entry.get("level", "info"))[:20], "message": text + " [cut]"}).encode()
