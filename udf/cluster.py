"""Which workers of a cluster do what: embedding on those that offer the Dask resource `GPU`, all else on the others.

The rule itself, without a scheduler: `backend.sync.plugin` applies it to the tasks of each graph that arrives. Dask's
own annotations would not do: optimising an array's graph drops them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

EMBEDDING = "multimodal-embed"  # what the keys of embedding tasks begin with
ABOUT = "openeo"  # the annotation that tells whose a task is: `job` or `request`, and perhaps `node`
CALLS = "openeo-calls-"  # begins the topics under which users' functions say what they have to say
NOTES = "openeo-notes"  # the topic under which tasks tell what the log of their job should say
GPU = "GPU"
CPU = "CPU"

logger = logging.getLogger("udf.cluster")

Resources = Mapping[str, float]


def offered(workers: Iterable[Resources]) -> frozenset[str]:
    """Return which of `GPU` and `CPU` the workers offer; `CPU` counts on workers without a GPU alone."""
    found = set()
    for resources in workers:
        if resources.get(GPU, 0) > 0:
            found.add(GPU)
        elif resources.get(CPU, 0) > 0:
            found.add(CPU)
    return frozenset(found)


def required(prefix: str, there: frozenset[str]) -> dict[str, float] | None:
    """Return the resources that a task asks for, None for none.

    Parameters
    ----------
    prefix : str
        What the task's key begins with, as Dask splits it.
    there : frozenset
        What the cluster's workers offer, by `offered`.
    """
    if GPU not in there:
        return None
    if prefix == EMBEDDING:
        return {GPU: 1}
    return {CPU: 1} if CPU in there else None


def note(level: str, message: str) -> None:
    """Have the log of the job (or request) that the running task belongs to say something; nothing outside a worker."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return
    logger.log(logging.getLevelNamesMapping()[level.upper()], "%s", message)
    worker.log_event(NOTES, {"key": worker.get_current_task(), "level": level, "message": message})


def about_task() -> dict[str, str]:
    """Return the job (or request) and the node that this thread's task belongs to; nothing outside of tasks."""
    from distributed import get_worker

    try:
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except (ValueError, KeyError):
        return {}
    return dict((task.annotations or {}).get(ABOUT, {})) if task is not None else {}
