"""The sandbox as `user_code` uses it: with the rules of a code, and the folders that it may read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.folders import PACKAGED
from udf.packages import installed

if TYPE_CHECKING:
    from udf.sandbox import Limits, Sandbox
    from udf.user_code import UserCode

Log = Callable[[dict[str, Any]], None]
PROCESSOR = (Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu"))


def open_sandbox(code: UserCode, folders: list[Path]) -> Sandbox:
    """Return the sandbox that this process keeps for such limits; each call in it is a new process."""
    from udf.sandbox import sandbox_on_this_worker

    return sandbox_on_this_worker(_limits(code), folders, code.rules.unsafe)


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

    packages, models = _packages(code), _models(code)
    _require_seen([*packages, *models])
    request = {**request, "paths": list(map(str, packages)), "models": list(map(str, models))}
    try:
        answer = open_sandbox(code, [*packages, *models, *_processor(code)]).call(request, arrays, on_log=log)
    except SandboxError as error:
        raise UserCodeLimit(error.message, error.kind) from None
    except GuestError as error:
        raise UserCodeError(error.message) from None
    return answer


def _require_seen(folders: list[Path]) -> None:
    """Refuse folders in the place where the sandbox has temporary files of its own."""
    from udf.user_code import UserCodeLimit

    hidden = [folder for folder in folders if folder.resolve().is_relative_to("/tmp")]
    if hidden:
        reason = "packages and models of this server lie below /tmp, which is hidden from users' code"
        raise UserCodeLimit(f"{reason}; its operator must keep its data elsewhere", "unavailable")


def _limits(code: UserCode) -> Limits:
    from udf.sandbox import Limits

    rules = code.rules
    return Limits(memory=rules.memory, cpu_seconds=rules.cpu_seconds, wall_seconds=rules.wall_seconds)


def _packages(code: UserCode) -> list[Path]:
    """Return the folder with the packages that the code asks for; none for most."""
    rules = code.rules.packages
    return [] if rules is None or not code.dependencies else [installed(code.dependencies, rules, code.rules.user)]


def _models(code: UserCode) -> list[Path]:
    """Return the package of the networks and the folders of the models, where users' code may run these."""
    if code.rules.models is None:
        return []
    return [PACKAGED.parent, PACKAGED, *(folder for folder in code.rules.models if folder.is_dir())]


def _processor(code: UserCode) -> list[Path]:
    """Return what tells of the processor, which torch must know to run a model; nothing else of the machine."""
    return [] if code.rules.models is None else [place for place in PROCESSOR if place.exists()]
