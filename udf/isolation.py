"""The sandbox as `user_code` uses it: with the rules of a code, and the folders that it may read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.folders import PACKAGED
from udf.packages import installed

if TYPE_CHECKING:
    from udf.sandbox import Limits, Sandbox
    from udf.user_code import UserCode

logger = logging.getLogger("udf.isolation")

Log = Callable[[dict[str, Any]], None]
DROPPED_SECONDS = 1.0
PROCESSOR = (Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu"))
SETTINGS = {  # by kind of limit
    "memory": "OPENEO_EMBED_UDF_MEMORY",
    "cpu": "OPENEO_EMBED_UDF_SECONDS",
    "time": "OPENEO_EMBED_UDF_SECONDS",
}


def open_sandbox(code: UserCode, folders: list[Path]) -> Sandbox:
    """Return the sandbox that this process keeps for such limits; each call in it is a new process."""
    from udf.sandbox import sandbox_on_this_worker

    # Imported once rather than in each call: that takes seconds. Elsewhere than on workers only trials run.
    preload = ("torch",) if _runs_models(code) and _on_worker() else ()
    return sandbox_on_this_worker(_limits(code), folders, code.rules.unsafe, preload)


def call_sandboxed(
    code: UserCode, request: dict[str, Any], arrays: list[np.ndarray], log: Log
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Make one request.

    Raises
    ------
    udf.user_code.UserCodeLimit
        Where the code was stopped, or there is no sandbox.
    udf.packages.PackageError
        Where packages that the code asks for cannot be had.
    """
    from udf.sandbox import GuestError, SandboxError
    from udf.user_code import UserCodeError, UserCodeLimit

    packages, models, kernels = _packages(code), _models(code), _kernels(code)
    request = {**request, "paths": list(map(str, packages)), "models": list(map(str, models))}
    request["kernels"] = "".join(map(str, kernels))
    try:
        sandbox = open_sandbox(code, [*packages, *models, *kernels, *_processor(code)])
        answer = sandbox.call(request, arrays, on_log=log, is_wanted=_task_is_wanted())
    except SandboxError as error:
        logger.warning("the sandbox ended a call of users' code (%s): %s", error.kind, error.message)
        setting = SETTINGS.get(error.kind)
        whose = f" The operator's setting for it is {setting}." if setting else ""
        raise UserCodeLimit(error.message + whose, error.kind) from None
    except GuestError as error:
        raise UserCodeError(error.message, error.traceback) from None
    return answer


def _task_is_wanted() -> Callable[[], bool] | None:
    """Return what tells whether this thread's task is still wanted: it is dropped when its job is cancelled.

    A task that Dask takes up again at once was wanted all the time.
    """
    from distributed import get_worker

    try:
        worker = get_worker()
        key = worker.get_current_task()
    except (ValueError, KeyError):
        return None
    seen = time.monotonic()

    def is_wanted() -> bool:
        nonlocal seen
        task = worker.state.tasks.get(key)
        if task is not None and task.state != "cancelled":
            seen = time.monotonic()
        return time.monotonic() - seen < DROPPED_SECONDS

    return is_wanted


def _limits(code: UserCode) -> Limits:
    from udf.sandbox import Limits

    rules = code.rules
    return Limits(memory=rules.memory, cpu_seconds=rules.cpu_seconds, wall_seconds=rules.wall_seconds)


def _packages(code: UserCode) -> list[Path]:
    """Return the folder with the packages that the code asks for; none for most."""
    rules = code.rules.packages
    return (
        []
        if rules is None or not code.dependencies
        else [installed(code.dependencies, rules, code.rules.user).resolve()]
    )


def _models(code: UserCode) -> list[Path]:
    """Return the package of the networks and the folders of the models, where users' code may run these."""
    if code.rules.models is None:
        return []
    return [PACKAGED.parent, PACKAGED, *(folder.resolve() for folder in code.rules.models if folder.is_dir())]


def _runs_models(code: UserCode) -> bool:
    """Whether the code may run models and, as its text has it, does."""
    return code.rules.models is not None and "openeo_embed" in code.source


def _kernels(code: UserCode) -> list[Path]:
    """Return the library of compiled kernels of this worker, compiled by it if nobody has; none outside of workers.

    Elsewhere only trials run, on too few pixels for an embedding, and nothing else there needs torch.
    """
    if not _runs_models(code) or not _on_worker():
        return []
    from models.engine.dense.native.build import library

    loaded = library()
    return [] if loaded is None else [Path(loaded._name).resolve()]


def _on_worker() -> bool:
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def _processor(code: UserCode) -> list[Path]:
    """Return what tells of the processor, which torch must know to run a model; nothing else of the machine."""
    return [] if code.rules.models is None else [place for place in PROCESSOR if place.exists()]
