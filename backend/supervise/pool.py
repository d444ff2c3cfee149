"""The nannies of the Dask workers: those that are always there, and those that come while tasks queue up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from backend.supervise import worker
from backend.supervise.orders import Orders
from backend.supervise.plan import WorkerPlan

logger = logging.getLogger("backend.supervise")

CLOSE_SECONDS = 3.0
ADAPT_SECONDS = 1.0
# So long must fewer workers do before one is retired: starting one again takes seconds.
IDLE_SECONDS = 30.0


class Pool:
    """The workers of one server.

    Parameters
    ----------
    orders : Orders
    memory : int or str
        Of each worker, as Dask takes it.
    """

    def __init__(self, orders: Orders, memory: int | str) -> None:
        import dask

        settings = orders.settings
        self._orders, self._memory = orders, memory
        self._nannies: dict[str, Any] = {}
        self._changed = asyncio.Event()
        log = {"log_format": settings.log_format, "level": settings.log_level}
        dask.config.set({"distributed.worker.http.routes": [], worker.LOG: log})

    async def start(self, plans: Iterable[WorkerPlan]) -> None:
        """Start workers, all at once, and wait until they are up."""
        new = {plan.name: self._nanny(plan) for plan in plans}
        self._nannies.update(new)
        await asyncio.gather(*new.values())
        self._changed.set()

    async def lost(self) -> None:
        """Wait until a worker has ended for good that was not retired."""
        while True:
            self._changed.clear()
            ends = {name: asyncio.create_task(nanny.finished()) for name, nanny in self._nannies.items()}
            change = asyncio.create_task(self._changed.wait())
            await asyncio.wait([change, *ends.values()], return_when=asyncio.FIRST_COMPLETED)
            gone = [name for name, end in ends.items() if end.done() and name in self._nannies]
            for task in (change, *ends.values()):
                task.cancel()
            if gone:
                return

    async def adapt(self, more: Sequence[WorkerPlan]) -> None:
        """Start the workers `more` one by one while the scheduler asks for more, and retire them when it has not."""
        spare, idle = len(self._nannies), 0.0
        while True:
            await asyncio.sleep(ADAPT_SECONDS)
            wanted = await self._wanted()
            extra = [plan for plan in more if plan.name in self._nannies]
            idle = idle + ADAPT_SECONDS if wanted < spare + len(extra) else 0.0
            if wanted > spare + len(extra) and len(extra) < len(more):
                plan = next(plan for plan in more if plan.name not in self._nannies)
                logger.info("tasks queue up: starting %s", plan.name)
                await self.start([plan])
            elif extra and idle >= IDLE_SECONDS:
                idle = 0.0
                logger.info("little to do: retiring %s", extra[-1].name)
                await self._retire(extra[-1].name)

    async def close(self) -> None:
        """Close all workers."""
        closing = [nanny.close(timeout=CLOSE_SECONDS) for nanny in self._nannies.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), CLOSE_SECONDS)

    async def _wanted(self) -> int:
        """Ask the scheduler how many workers it could use."""
        scheduler = next(iter(self._nannies.values())).scheduler
        return int(await scheduler.adaptive_target())

    async def _retire(self, name: str) -> None:
        """Have the scheduler move a worker's data to others, and end it."""
        nanny = self._nannies.pop(name)
        self._changed.set()
        await nanny.scheduler.retire_workers(workers=[nanny.worker_address], remove=True, close_workers=False)
        await nanny.close(timeout=CLOSE_SECONDS)

    def _nanny(self, plan: WorkerPlan) -> Any:
        from backend.supervise.nanny import PatientNanny

        address = self._orders.scheduler
        return PatientNanny(
            address,
            name=plan.name,
            nthreads=plan.threads,
            resources=dict(plan.resources),
            env=dict(plan.environ),
            memory_limit=self._memory,
            host="127.0.0.1" if "127.0.0.1" in address else None,
            dashboard=False,
            preload=[worker.__name__],
            local_directory=str(self._orders.settings.run_folder / "dask"),
        )
