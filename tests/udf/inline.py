"""The guest without isolation, in this process: requests and answers go through JSON as they do on the way to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from udf.guest import handle
from udf.user_code import UserCode

_ONE_AT_A_TIME = threading.Lock()


class InlineSandbox:
    """Calls the guest's handler; remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.is_open = True

    def call(
        self,
        request: dict[str, Any],
        arrays: list[np.ndarray],
        on_log: Callable[[dict[str, Any]], None] | None = None,
        is_wanted: Callable[[], bool] | None = None,
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        assert self.is_open
        self.requests.append(request)
        own = [array.copy() for array in arrays]  # as pages of its own are
        entries: list[dict[str, Any]] = []
        with _ONE_AT_A_TIME:  # as all that it prints is taken
            answer, made = handle(_through_json(request), own, entries.append)
        for entry in entries:
            if on_log is not None:
                on_log(_through_json(entry))
        return _through_json(answer), made

    def close(self) -> None:
        self.is_open = False


class InlineSandboxes:
    """Opens sandboxes in place of `udf.isolation.open_sandbox`."""

    def __init__(self) -> None:
        self.opened: list[InlineSandbox] = []
        self.codes: list[UserCode] = []
        self.folders: list[list[Path]] = []

    def __call__(self, code: UserCode, folders: list[Path]) -> InlineSandbox:
        self.codes.append(code)
        self.folders.append(folders)
        self.opened.append(InlineSandbox())
        return self.opened[-1]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [request for sandbox in self.opened for request in sandbox.requests]


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))
