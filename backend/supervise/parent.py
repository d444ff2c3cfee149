"""The child's side of supervision: take orders, and do not outlive the supervisor.

The supervisor holds the other end of standard input. When it dies, however suddenly, the pipe closes, and the child
stops itself: politely, and a few seconds later with its whole process group.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from backend.supervise.orders import Orders

PATIENCE = 4.0


def take_orders() -> Orders:
    """Read the orders from standard input and watch it from then on."""
    orders = Orders.from_json(sys.stdin.readline())
    threading.Thread(target=_watch, name="watch-parent", daemon=True).start()
    return orders


def _watch() -> None:
    while os.read(0, 1024):  # nothing more is ever written: this waits for the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.killpg(os.getpgrp(), signal.SIGKILL)
