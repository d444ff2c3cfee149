"""How a call in the sandbox can fail.

SandboxError   a limit was passed, the code was killed or crashed, or there is no sandbox
GuestError     the user's code raised an error: its own message and traceback
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Kind = Literal["memory", "cpu", "time", "processes", "output", "crashed", "refused", "unavailable", "unwanted"]


class SandboxError(Exception):
    """The sandbox ended the call, or could not start it.

    Attributes
    ----------
    kind : str
        "memory", "cpu", "time", "processes", "output": the limit that was passed; "crashed": the code's process died;
        "refused": a value that cannot travel; "unavailable": no isolation on this system; "unwanted": nobody waits for
        the answer any more.
    logs : list of dict
        The messages that came before it.
    """

    def __init__(self, kind: Kind, message: str, logs: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.logs = list(logs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.message, self.logs)


class GuestError(Exception):
    """The user's code raised an error.

    Attributes
    ----------
    message : str
        What it says, in a sentence.
    traceback : str
        Where it was raised, as the guest formats it.
    logs : list of dict
        The messages that came before it.
    """

    def __init__(self, message: str, traceback: str = "", logs: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.message = message
        self.traceback = traceback
        self.logs = list(logs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.traceback, self.logs)
