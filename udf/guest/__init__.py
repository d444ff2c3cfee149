"""What runs inside the sandbox: a user's code on one piece of a cube.

May import numpy, xarray, pandas, geopandas, shapely and the openEO client, nothing else of the server: what is imported
here is within reach of the user's code. ``udf.guest:handle`` is what the sandbox calls; asking for it loads all that it
needs, importing this package nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Import `handle`, with all that users' code may need, when it is asked for."""
    if name == "handle":
        if not os.path.exists("/proc/self"):
            # Dask, which xarray imports when it first looks at an array, asks psutil, which cannot do without.
            sys.modules.setdefault("psutil", None)  # type: ignore[arg-type]
        with suppress(ImportError):
            import_module("dask.array")  # now rather than in each call
        from udf.guest.run import handle

        return handle
    raise AttributeError(f"module 'udf.guest' has no attribute {name!r}")
