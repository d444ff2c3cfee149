"""The Dask workers: one process that holds a nanny for each; the nannies restart workers that outgrow their memory."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from backend.supervise.devices import find_gpus
from backend.supervise.orders import Orders
from backend.supervise.plan import cpu_worker, gpu_workers, most_workers, worker_count
from backend.supervise.pool import Pool
from backend.supervise.priority import give_way
from backend.supervise.signals import stop_event
from processes.errors import OpenEOError

logger = logging.getLogger("backend.supervise")


def run_workers(orders: Orders) -> None:
    """Run the workers until told to stop, or until they lost the scheduler: then the supervisor starts them anew."""
    give_way()
    try:
        asyncio.run(_run(orders))
    except OpenEOError as error:
        logger.error("%s", error.message)
        sys.exit(1)


async def _run(orders: Orders) -> None:
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    settings = orders.settings
    stop = asyncio.create_task(stop_event().wait())
    gpus = gpu_workers(settings, [] if settings.gpus == 0 else await asyncio.to_thread(find_gpus, os.environ))
    least, most = worker_count(settings, CPU_COUNT), most_workers(settings, CPU_COUNT)
    plans = [cpu_worker(settings, index, hide=bool(gpus)) for index in range(most)]
    share = int(MEMORY_LIMIT * 0.9 / (most + len(gpus)))
    pool = Pool(orders, share if settings.worker_memory == "auto" else settings.worker_memory)
    try:
        await pool.start([*gpus, *plans[:least]])
        ends = [stop, asyncio.create_task(pool.lost())]
        if most > least:
            ends.append(asyncio.create_task(pool.adapt(plans[least:])))
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await pool.close()
    if not stop.done():
        for task in done:
            task.result()
        logger.error("a Dask worker ended for good")
        sys.exit(1)
