"""The sandbox as its callers see it: requests and arrays in, answers and arrays out, whoever wrote the code."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from udf.sandbox import arrays as shared
from udf.sandbox.buffers import Buffers, Input, Output
from udf.sandbox.errors import SandboxError
from udf.sandbox.family import Family, NotStarted
from udf.sandbox.limits import Limits
from udf.sandbox.offer import LEVELS, offered
from udf.sandbox.running import Log, Running

HANDLER = "udf.guest:handle"


class Sandbox:
    """A warm guest family that runs calls of user code, each in a fresh process; threads may share it.

    Parameters
    ----------
    limits : Limits
        For each call.
    read_only : sequence of Path
        Further folders that the code may read and import from.
    handler : str
        ``module:function`` that runs in the guest: ``handle(request, arrays, log) -> (answer, arrays)``.
    level : str
        "auto" for the best that the system offers, or one of "namespaces", "bubblewrap", "landlock", "none".
    allow_unsafe : bool
        Run also where there is no isolation, held by the system call filter and the limits alone.
    preload : sequence of str
        Modules to import once for all calls, beside those that every guest has.

    Raises
    ------
    SandboxError
        "unavailable" where the level is not offered; the message says what is missing.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        read_only: Sequence[Path] = (),
        handler: str = HANDLER,
        level: str = "auto",
        allow_unsafe: bool = False,
        preload: Sequence[str] = (),
    ):
        self.limits = limits
        self.level = _chosen(level, allow_unsafe)
        self._handler, self._read_only, self._preload = handler, tuple(read_only), tuple(preload)
        self._family: Family | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._calls = 0
        self._buffers = Buffers()

    @property
    def busy(self) -> bool:
        """Whether a call runs."""
        return self._calls > 0

    def call(
        self,
        request: Mapping[str, Any],
        arrays: Sequence[np.ndarray],
        on_log: Log | None = None,
        is_wanted: Callable[[], bool] | None = None,
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Run the handler once.

        Parameters
        ----------
        request : mapping
            JSON.
        arrays : sequence of arrays
            Numbers, booleans, datetime64 or fixed-width text, in any shape. The guest may write into its copies.
        on_log : callable
            Takes each message while the call runs.
        is_wanted : callable, optional
            Asked while the call runs whether anybody waits for its answer; where nobody does, it is ended.

        Returns
        -------
        dict, list of arrays
            The answer.

        Raises
        ------
        GuestError
            The code raised an error.
        SandboxError
            It passed a limit, crashed, or gave values that cannot travel.
        """
        try:
            with self._counted(), self._buffers.borrowed(self.limits.output_bytes) as (given, taken):
                given.fill(request, arrays)
                return self._answer(given, taken, on_log, is_wanted)
        except shared.Unfit as error:
            raise SandboxError("refused", str(error)) from None

    def close(self) -> None:
        """End the family; calls that run fail."""
        with self._lock:
            self._closed = True
            self._drop()
            self._buffers.close()

    def rest(self) -> None:
        """End the family unless a call runs; the next call starts another."""
        with self._lock:
            if not self._calls:
                self._drop()
                self._buffers.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(
        self, given: Input, taken: Output, on_log: Log | None, is_wanted: Callable[[], bool] | None
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        call = self._started(given.for_guest, taken.for_guest)
        try:
            running = Running(call, self.limits, given.size, on_log, is_wanted)
            told = running.answer()
        finally:
            call.close()
        try:
            return told.get("answer") or {}, taken.take(told.get("arrays"))
        except shared.Unfit as error:
            raise SandboxError("refused", f"The code's answer cannot be read: {error}.", running.logs) from None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1

    def _started(self, given: int, taken: int) -> Any:
        """Hand the call to the family; to a new one where the old one has died."""
        try:
            return self._living().call(self.limits, given, taken)
        except OSError:
            return self._living(anew=True).call(self.limits, given, taken)

    def _living(self, anew: bool = False) -> Family:
        with self._lock:
            if self._closed:
                raise SandboxError("unavailable", "The sandbox is closed; open another.")
            if self._family is not None and (anew or not self._family.alive or self._owner != os.getpid()):
                self._drop()
            if self._family is None:
                self._family, self._owner = self._open(), os.getpid()
            return self._family

    def _open(self) -> Family:
        try:
            return Family(self.level, self._handler, self._read_only, self._preload)
        except NotStarted as error:
            raise SandboxError("unavailable", f"The sandbox ({self.level}) did not start: {error}.") from None

    def _drop(self) -> None:
        # After a fork of the server the family belongs to the other process.
        if self._family is not None and self._owner == os.getpid():
            self._family.close()
        self._family = None


def _chosen(level: str, allow_unsafe: bool) -> str:
    if level not in ("auto", *LEVELS, "none"):
        raise ValueError(f"level is {level!r}; choose 'auto', {', '.join(map(repr, LEVELS))} or 'none'.")
    offer = offered()
    if level in LEVELS:
        if level in offer.levels:
            return level
        raise SandboxError("unavailable", f"This system does not offer {level}: {offer.reasons.get(level, 'unknown')}.")
    if level == "auto" and offer.level != "none":
        return offer.level
    if allow_unsafe:
        return "none"
    raise SandboxError("unavailable", offer.refusal)
