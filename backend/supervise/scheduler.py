"""The Dask scheduler process. It listens on loopback alone: whoever reaches it can run code."""

from __future__ import annotations

import asyncio

from backend.supervise.orders import Orders
from backend.supervise.signals import stop_event


def run_scheduler(orders: Orders) -> None:
    """Run the scheduler until told to stop."""
    asyncio.run(_run(orders.scheduler, orders.settings.worker_silence))


async def _run(address: str, silence: float) -> None:
    import dask
    from distributed import Scheduler

    from backend.sync.plugin import RequestsPlugin

    stop = stop_event()
    # No pages: what they show (keys, code, addresses) is nobody's business, and they would listen on a port.
    dask.config.set({"distributed.scheduler.http.routes": [], "distributed.scheduler.worker-ttl": f"{silence} s"})
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    async with Scheduler(host=host, port=int(port), dashboard=False, dashboard_address="127.0.0.1:0") as scheduler:
        await scheduler.register_scheduler_plugin(RequestsPlugin(), name=RequestsPlugin.name, idempotent=True)
        await stop.wait()
