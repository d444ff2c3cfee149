"""Which Dask workers to start: pure functions of the settings and of what the machine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.settings import Settings
from backend.supervise.devices import VISIBLE
from processes.errors import OpenEOError
from udf.cluster import CPU, GPU

MOST_WORKERS = 8


@dataclass(frozen=True)
class WorkerPlan:
    """One worker process: its name, Dask resources, further environment variables and threads."""

    name: str
    resources: Mapping[str, float]
    environ: Mapping[str, str]
    threads: int


def worker_count(settings: Settings, cores: int) -> int:
    """Return how many worker processes without a GPU are always there on a machine with that many cores."""
    return settings.workers or max(1, min(MOST_WORKERS, cores // settings.threads))


def most_workers(settings: Settings, cores: int) -> int:
    """Return how many worker processes without a GPU there are while tasks queue up."""
    return max(worker_count(settings, cores), settings.workers_most)


def cpu_worker(settings: Settings, index: int, hide: bool) -> WorkerPlan:
    """Plan the worker of that number without a GPU; `hide` keeps it from those that others embed on."""
    environ = {VISIBLE: ""} if hide else {}
    return WorkerPlan(f"worker-{index}", {CPU: settings.threads}, environ, settings.threads)


def gpu_workers(settings: Settings, found: Sequence[str]) -> list[WorkerPlan]:
    """Plan one worker for each GPU that is to be used.

    Raises
    ------
    OpenEOError
        SettingInvalid: more are wanted than were found.
    """
    if settings.gpus > len(found):
        message = (
            f"OPENEO_EMBED_GPUS is {settings.gpus}, but torch finds {len(found)} on this machine; -1 takes all of them."
        )
        raise OpenEOError("SettingInvalid", message)
    used = found if settings.gpus < 0 else found[: settings.gpus]
    return [WorkerPlan(f"gpu-{i}", {GPU: 1}, {VISIBLE: name}, 1) for i, name in enumerate(used)]
