"""The Dask cluster as web processes and runners see it: compute one value, cancel it, tell how far it is."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from backend.sync.blocks import Interrupted, Stream, TaskFailed, collect
from backend.sync.deadline import Stopper
from backend.sync.failures import busy, of_task
from backend.sync.seam import Asked, Progress
from backend.sync.spool import Spool
from processes.errors import OpenEOError

logger = logging.getLogger("backend.cluster")

CONNECT_SECONDS = 5.0
CALL_SECONDS = 5.0
# After a failed attempt to connect, requests fail at once for so long instead of queueing up behind the next attempt.
PAUSE_SECONDS = 1.0


class DaskCluster:
    """A Dask cluster by its scheduler's address; connected when first needed, and again when the connection is lost.

    Parameters
    ----------
    address : str
    security : distributed.Security, optional
        What TLS needs; without it, the connection is not encrypted.
    """

    def __init__(self, address: str, security: Any = None) -> None:
        self._address = address
        self._security = security
        self._client: Any = None
        self._lock = threading.Lock()
        self._failed = float("-inf")
        self._spent: dict[str, dict[str, float]] = {}
        self._notes: dict[str, list[dict[str, str]]] = {}
        self._announced_ids: set[str] = set()

    def compute(
        self,
        asked: Asked,
        value: Any,
        deadline: Stopper,
        nodes: Mapping[str, str] | None = None,
        spool: Spool | None = None,
    ) -> Any:
        """Compute `value` as one graph; on a timeout or when the client hangs up, its tasks are dropped.

        The graph of a batch job is sent in parts, so that the workers hold a bounded part of its result.

        Raises
        ------
        OpenEOError
            Whatever the tasks or the deadline raise; ProcessGraphComplexity when workers run out of memory;
            InfrastructureBusy when the cluster does not answer.
        """
        from dask.base import unpack_collections

        collections, repack = unpack_collections(value)
        if not collections:
            return value
        with self._announced(asked, nodes or {}) as client:
            stream = self._stream(client, asked, spool) if asked.kind == "job" else None
            computed = _gather(client, collections, asked, deadline, stream)
            with contextlib.suppress(OpenEOError):  # nice to know
                self._spent[asked.id] = _call(client, "openeo_spent", request=asked.id)
        return repack(computed)[0]

    @contextlib.contextmanager
    def listening(self, topic: str, hear: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Hand on what tasks send to the topic, by Dask's events: they come in before the results that they precede."""
        from distributed.client import ClosedClientError

        client = self._connected()
        client.subscribe_topic(topic, lambda event: hear(event[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ClosedClientError):  # the scheduler is gone, and with it the topic
                client.unsubscribe_topic(topic)
                client._send_to_scheduler({"op": "openeo-forget", "topic": topic})
            client._event_handlers.pop(topic, None)  # Dask keeps it for ever

    def progress(self, user: str, kind: str = "request") -> list[Progress]:
        """Ask the scheduler how far the requests (or jobs) of `user` are."""
        return [Progress(**item) for item in _call(self._connected(), "openeo_progress", user=user, kind=kind)]

    def notes(self, asked: Asked) -> list[dict[str, str]]:
        """Return what `udf.cluster.note` was told by the tasks, while they run and after they have ended or failed."""
        told = self._notes.pop(asked.id, [])
        if asked.id in self._announced_ids:
            with contextlib.suppress(OpenEOError):  # the computation itself will notice
                told += _call(self._connected(), "openeo_notes", request=asked.id)
        return told

    def spent(self, asked: Asked) -> dict[str, float]:
        """Return what the scheduler has added up, by the parts that `backend.sync.plugin.part_of` names."""
        return self._spent.pop(asked.id, {})

    def threads(self) -> int:
        """Add up the workers' threads."""
        try:
            workers = _call(self._connected(), "identity")["workers"].values()
        except OpenEOError:
            return 0
        return sum(int(worker.get("nthreads", 0)) for worker in workers)

    def memory(self) -> int:
        """Add up the workers' memory."""
        try:
            workers = _call(self._connected(), "identity")["workers"].values()
        except OpenEOError:
            return 0
        return sum(int(worker.get("metrics", {}).get("memory", 0)) for worker in workers)

    def workers(self) -> int | None:
        """Count the workers."""
        try:
            return len(_call(self._connected(), "identity")["workers"])
        except OpenEOError:
            return None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _stream(self, client: Any, asked: Asked, spool: Spool | None) -> Stream:
        expect = partial(_call, client, "openeo_expect", request=asked.id)
        return Stream(self.threads, lambda keys: expect(keys=keys), spool)

    @contextlib.contextmanager
    def _announced(self, asked: Asked, nodes: Mapping[str, str]) -> Iterator[Any]:
        """Have the scheduler count the tasks of a request as long as the block runs."""
        client = self._connected()
        about = {"request": asked.id, "user": asked.user, "started": asked.started, "kind": asked.kind}
        _call(client, "openeo_begin", **about, sender=client.id, about=asked.about, nodes=dict(nodes))
        self._announced_ids.add(asked.id)
        try:
            yield client
        finally:
            self._announced_ids.discard(asked.id)
            with contextlib.suppress(OpenEOError):  # the scheduler is gone, and with it the entry
                told = _call(client, "openeo_end", request=asked.id)
                if told:
                    self._notes[asked.id] = list(told)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None or self._client.status != "running":
                self._client = self._connect(self._client)
            return self._client

    def _connect(self, old: Any) -> Any:
        from distributed import Client

        if old is not None:
            # Closing waits for a scheduler that is gone; no request should.
            threading.Thread(target=old.close, kwargs={"timeout": 1}, daemon=True).start()
        if time.monotonic() < self._failed + PAUSE_SECONDS:
            raise busy()
        try:
            options = {"timeout": CONNECT_SECONDS, "set_as_default": False, "direct_to_workers": True}
            return Client(self._address, security=self._security, **options, name="openeo")  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError) as error:
            self._failed = time.monotonic()
            logger.warning("the Dask scheduler at %s does not answer: %s", self._address, error)
            raise busy() from None


def _call(client: Any, operation: str, **arguments: Any) -> Any:
    """Call one of the scheduler's handlers; those of our plugins are installed where they are missing.

    They are missing after an operator's own scheduler was started or restarted; ours starts with them.
    """
    from distributed.client import ClosedClientError

    from backend.sync.plugin import RequestsPlugin

    async def ask() -> Any:
        return await getattr(client.scheduler, operation)(**arguments)

    try:
        if operation.startswith("openeo_"):
            client.register_plugin(RequestsPlugin())  # does nothing where the scheduler has it
        return client.sync(ask, callback_timeout=CALL_SECONDS)
    except (OSError, TimeoutError, ClosedClientError) as error:
        logger.warning("the Dask scheduler does not answer: %s", error)
        raise busy() from None


def _gather(
    client: Any, collections: Sequence[Any], asked: Asked, deadline: Stopper, stream: Stream | None
) -> Sequence[Any]:
    """Compute the collections as one graph, of whose blocks the scheduler learns that they are the request's."""
    from distributed.client import ClosedClientError

    try:
        announce = partial(_call, client, "openeo_watch", request=asked.id)
        return collect(client, collections, lambda keys: announce(keys=keys), deadline.check, stream)
    except TaskFailed as failed:
        raise (of_task(failed.error, _memory_limits(client))) from failed.error
    except (Interrupted, ClosedClientError) as interrupted:  # closed by a thread that found the scheduler gone
        raise busy() from interrupted


def _memory_limits(client: Any) -> list[int]:
    """Return how many bytes of memory each worker may have."""
    with contextlib.suppress(OpenEOError):
        workers = _call(client, "identity")["workers"].values()
        return sorted(int(worker.get("memory_limit") or 0) for worker in workers)
    return []
