"""The Dask workers: one process that holds a nanny for each; the nannies restart workers that outgrow their memory."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from backend.settings import Settings
from backend.supervise import worker
from backend.supervise.orders import Orders
from backend.supervise.signals import stop_event

MOST_WORKERS = 8
CLOSE_SECONDS = 3.0


def run_workers(orders: Orders) -> None:
    """Run the workers until told to stop, or until they lost the scheduler: then the supervisor starts them anew."""
    asyncio.run(_run(orders))


def worker_count(settings: Settings, cores: int) -> int:
    """Return how many worker processes to start on a machine with that many cores."""
    return settings.workers or max(1, min(MOST_WORKERS, cores // settings.threads))


async def _run(orders: Orders) -> None:
    import dask
    from dask.system import CPU_COUNT

    stop = asyncio.create_task(stop_event().wait())
    settings = orders.settings
    log = {"log_format": settings.log_format, "level": settings.log_level}
    dask.config.set({"distributed.worker.http.routes": [], worker.LOG: log})
    nannies = [_nanny(orders, index) for index in range(worker_count(settings, CPU_COUNT))]
    try:
        await asyncio.gather(*nannies)
        ended = [asyncio.create_task(nanny.finished()) for nanny in nannies]
        await asyncio.wait([stop, *ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(nanny.close(timeout=CLOSE_SECONDS) for nanny in nannies)), CLOSE_SECONDS
            )
    if not stop.done():
        sys.exit("a Dask worker ended for good")


def _nanny(orders: Orders, index: int) -> Any:
    from dask.system import CPU_COUNT
    from distributed import Nanny
    from distributed.system import MEMORY_LIMIT

    settings = orders.settings
    count = worker_count(settings, CPU_COUNT)
    memory = int(MEMORY_LIMIT * 0.9 / count) if settings.worker_memory == "auto" else settings.worker_memory
    return Nanny(
        orders.scheduler,
        name=f"worker-{index}",
        nthreads=settings.threads,
        memory_limit=memory,
        host="127.0.0.1" if "127.0.0.1" in orders.scheduler else None,
        dashboard=False,
        preload=[worker.__name__],
        local_directory=str(settings.run_folder / "dask"),
    )
