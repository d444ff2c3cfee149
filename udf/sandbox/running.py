"""One running call, from the caller's side: its messages are taken, its use is watched, its end is explained."""

from __future__ import annotations

import json
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from udf.sandbox.errors import GuestError, SandboxError
from udf.sandbox.family import ENDS_WITHIN, Call
from udf.sandbox.frames import ANSWER, LOG, MOST_LOGS, BadFrame, Receiver
from udf.sandbox.limits import Limits
from udf.sandbox.usage import Watched, explained, passed
from udf.sandbox.zygote import LARGEST

LOOKS_EVERY = 0.02  # seconds between two looks at what the process uses
LONGEST_TEXT = 64 << 10
Log = Callable[[dict[str, Any]], None]


class Running:
    """Follows a call to its end.

    Parameters
    ----------
    call : Call
        Closed by the caller.
    input_bytes : int
        Mapped input counts as the process's memory once it is written to.
    is_wanted : callable, optional
        Asked all the time whether anybody still waits for the answer.
    """

    def __init__(
        self,
        call: Call,
        limits: Limits,
        input_bytes: int,
        on_log: Log | None,
        is_wanted: Callable[[], bool] | None = None,
    ):
        self._call, self._limits, self._on_log, self._is_wanted = call, limits, on_log, is_wanted
        self._input_bytes = input_bytes
        self._receiver = Receiver()
        self._watched: Watched | None = None
        self._base: int | None = None
        self._ended: dict[str, Any] | None = None
        self._result: tuple[bytes, dict[str, Any]] | None = None
        self._killed_for: str | None = None
        self._deadline = time.monotonic() + limits.wall_seconds
        self.logs: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        """Wait for the process's end; return its answer, or raise SandboxError or GuestError."""
        poll = select.poll()
        for connection in (self._call.messages, self._call.status):
            poll.register(connection, select.POLLIN)
        try:
            while self._ended is None:
                for file, _ in poll.poll(LOOKS_EVERY * 1000):
                    if file == self._call.status.fileno():
                        self._take_status()
                    elif not self._take_messages():
                        poll.unregister(file)
                self._look()
            while self._result is None and not self._killed_for and self._take_messages():
                pass
        finally:
            self._leave()
        return self._outcome()

    def _take_status(self) -> None:
        message, files, _, _ = socket.recv_fds(self._call.status, LARGEST, 1)
        if files:
            self._watched = Watched(files[0])
        else:
            self._ended = json.loads(message or b'{"code": null, "cpu": 0}')

    def _take_messages(self) -> bool:
        """Take what has come; False once no more can come."""
        received = self._call.messages.recv(1 << 16)
        try:
            for letter, content in self._receiver.feed(received):
                if letter == LOG:
                    self._take_log(content)
                elif self._result is None:
                    self._result = letter, content
                    self._kill(None)  # nothing of it may go on while its answer is read
        except BadFrame:
            self._kill("output")
        return bool(received)

    def _take_log(self, entry: dict[str, Any]) -> None:
        if len(self.logs) >= MOST_LOGS:
            return self._kill("output")
        self.logs.append(entry)
        if self._on_log is not None:
            self._on_log(entry)

    def _look(self) -> None:
        late = time.monotonic() - self._deadline
        if late > ENDS_WITHIN and self._ended is None:
            self._ended = {}  # the family no longer answers
        if self._killed_for or self._result or self._ended is not None:
            return self._kill(None)  # again: its pidfd may have come only now
        if late > 0:
            return self._kill("time")
        if self._is_wanted is not None and not self._is_wanted():
            return self._kill("unwanted")
        usage = self._watched.usage() if self._watched else None
        if usage is None:
            return
        if self._base is None:
            self._base = usage.memory  # what every warm guest holds
        allowed = self._base + self._limits.memory + self._input_bytes
        kind = passed(usage, self._limits, allowed)
        if kind:
            self._kill(kind)

    def _kill(self, kind: str | None) -> None:
        self._killed_for = self._killed_for or kind
        if self._watched:
            self._watched.kill()

    def _leave(self) -> None:
        """Make sure that nothing runs any more, also when we were interrupted."""
        if self._watched:
            self._watched.kill()
            self._watched.close()

    def _outcome(self) -> dict[str, Any]:
        if self._killed_for:
            raise self._failed(self._killed_for)
        if self._result is None:
            raise self._crashed()
        letter, content = self._result
        if letter == ANSWER:
            return content
        kind, message = content.get("error"), str(content.get("message", ""))[:LONGEST_TEXT]
        if kind == "user":
            raise GuestError(message, str(content.get("traceback", ""))[:LONGEST_TEXT], self.logs)
        if kind == "refused":
            raise SandboxError("refused", message, self.logs)
        if kind == "unavailable":
            raise SandboxError("unavailable", f"The call could not be shut in: {message}.", self.logs)
        raise self._failed(kind if kind in ("memory", "output") else "crashed")

    def _failed(self, kind: str) -> SandboxError:
        if kind == "crashed":
            return self._crashed()
        return SandboxError(kind, explained(kind, self._limits), self.logs)  # type: ignore[arg-type]

    def _crashed(self) -> SandboxError:
        code, cpu = (self._ended or {}).get("code"), (self._ended or {}).get("cpu", 0)
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu >= self._limits.cpu_seconds):
            return self._failed("cpu")
        if code is None:
            how = "its process could not be started, or the processes around it were ended; try again"
        elif code == -signal.SIGKILL:
            how = "its process was killed from outside, most often because the machine ran short of memory; try again"
        elif code < 0:
            how = f"its process died of {signal.Signals(-code).name}; look for code of C that it calls wrongly"
        else:
            how = f"its process left with {code} before it answered; let the function return its result"
        return SandboxError("crashed", f"The code did not come to an end: {how}.", self.logs)
