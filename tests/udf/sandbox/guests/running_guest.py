"""A handler for tests: runs ``request["code"]``, which finds `arrays` and `log` and leaves `answer` and `made`."""

from __future__ import annotations

# Code that is to fail at what it does must not fail at importing what it does it with.
import multiprocessing.popen_fork  # noqa: F401
import shutil  # noqa: F401


def run(request, arrays, log):
    space = {"arrays": arrays, "log": log, "request": request, "answer": {}, "made": []}
    exec(request["code"], space)  # noqa: S102
    return space["answer"], space["made"]
