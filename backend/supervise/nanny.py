"""Nannies that are patient: a worker that ends soon after its start, again and again, takes no time from the others."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from distributed import Nanny
from distributed.core import Status

from backend.supervise.backoff import Backoff

logger = logging.getLogger("backend.supervise")

# A worker that lived so long was well. Much less than of other parts: tasks that outgrow a worker's memory end it, too.
STEADY = 10.0
_OVER = (Status.closing, Status.closing_gracefully, Status.closed, Status.failed)


class PatientNanny(Nanny):
    """Dask's nanny, which starts a worker again at once and for ever, with a pause that grows."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._backoff = Backoff()
        self._began: float | None = None

    async def instantiate(self) -> Status:
        """Start the worker's process, after a pause where it has ended."""
        if self._began is not None:
            self._backoff, pause = self._backoff.after_end(time.monotonic() - self._began, STEADY)
            if self._backoff.failures > 1:
                message = "%s ended soon after its start %d times in a row; starting it again in %.1f s"
                logger.warning(message, self.name, self._backoff.failures, pause)
            await self._wait(pause)
            if self.status in _OVER:  # closed meanwhile: nobody would end the new process
                return self.status
        self._began = time.monotonic()
        return await super().instantiate()

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
