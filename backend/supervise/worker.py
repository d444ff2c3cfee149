"""Runs first in each Dask worker process: gives its log the server's form, and loads what the first tasks will need."""

from __future__ import annotations

import importlib
import threading
import warnings
from typing import Any

from backend.supervise.imports import uncollected

LOG = "openeo-embed.log"


def dask_setup(worker: Any) -> None:
    """Called by Dask when the worker starts; the nanny hands its own Dask configuration on to the worker.

    Workers of a cluster of the operator's own do the same with `--preload backend.supervise.worker`.
    """
    import dask

    from backend.logs import configure_logging

    configure_logging("worker", **dask.config.get(LOG, {}))
    # No-data is NaN: that computing with it gives NaN is no news.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    # Aside: the worker is ready before, and the first request need not wait for it.
    threading.Thread(target=_load_libraries, name="load-libraries", daemon=True).start()


def _load_libraries() -> None:
    with uncollected():
        importlib.import_module("processes.registry")
