"""Sandboxes that a worker keeps: one for each set of limits and folders, put to rest when nobody asks for a while."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from udf.sandbox.box import Sandbox
from udf.sandbox.limits import Limits

IDLE = 300.0  # seconds
MOST = 4  # warm ones: each takes some 150 MB
_Key = tuple[int, Limits, tuple[Path, ...], bool, tuple[str, ...]]
_kept: dict[_Key, tuple[Sandbox, float]] = {}
_lock = threading.Lock()
_sweeper: threading.Timer | None = None


def sandbox_on_this_worker(
    limits: Limits, read_only: Sequence[Path] = (), allow_unsafe: bool = False, preload: Sequence[str] = ()
) -> Sandbox:
    """The sandbox of this process for these limits, folders and modules; warm from the second call on.

    Do not close it, and ask for it again for each call: it rests when nobody has asked for five minutes, or when four
    others have been asked for since.
    """
    key = (os.getpid(), limits, tuple(read_only), allow_unsafe, tuple(preload))
    with _lock:
        known = _kept.pop(key, None)
        sandbox = (
            known[0] if known else Sandbox(limits, read_only=read_only, allow_unsafe=allow_unsafe, preload=preload)
        )
        _kept[key] = (sandbox, time.monotonic())  # the last asked for comes last
        surplus = [_kept.pop(old)[0] for old in list(_kept)[:-MOST] if not _kept[old][0].busy]
        _sweep_later()
    for other in surplus:
        other.rest()
    return sandbox


def rest_all() -> None:
    """End every warm family of this process that runs no call."""
    _rest_older(0.0)


def _sweep_later() -> None:
    global _sweeper
    if _sweeper is None:
        atexit.register(rest_all)
    if _sweeper is None or not _sweeper.is_alive() or _sweeper is threading.current_thread():
        _sweeper = threading.Timer(IDLE / 2, _sweep)
        _sweeper.daemon = True
        _sweeper.start()


def _sweep() -> None:
    _rest_older(IDLE)
    with _lock:
        if _kept:
            _sweep_later()


def _rest_older(seconds: float) -> None:
    now = time.monotonic()
    with _lock:
        old = [key for key, (box, used) in _kept.items() if now - used >= seconds and not box.busy]
        resting = [_kept.pop(key)[0] for key in old]
    for sandbox in resting:
        sandbox.rest()
