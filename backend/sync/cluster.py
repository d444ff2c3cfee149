"""The Dask cluster as the web processes see it: compute one value, cancel it, tell how far it is."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.sync.deadline import Stopper
from backend.sync.estimate import REMEDY
from backend.times import rfc3339
from processes.errors import OpenEOError

logger = logging.getLogger("backend.cluster")

KEY_PREFIX = "openeo-request-"
CONNECT_SECONDS = 5.0
CALL_SECONDS = 5.0
# After a failed attempt to connect, requests fail at once for so long instead of queueing up behind the next attempt.
PAUSE_SECONDS = 1.0
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """How far a request is: `done` of `total` Dask tasks; `total` is 0 until its graph has been read."""

    id: str
    started: float
    done: int
    total: int

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `/requests/progress`."""
        percent = round(100 * self.done / self.total, 1) if self.total else 0.0
        return {
            "id": self.id,
            "started": rfc3339(self.started),
            "done": self.done,
            "total": self.total,
            "percent": percent,
        }


class Asked(Protocol):
    """A synchronous request or a run of a batch job: `kind` is "request" or "job", `id` is of 1 to 64 characters."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def started(self) -> float: ...
    @property
    def kind(self) -> str: ...


class Cluster(Protocol):
    """Where lazy values are computed."""

    def compute(self, asked: Asked, value: Any, deadline: Stopper) -> Any:
        """Return `value` with everything lazy in it computed, each shared part once."""
        ...

    def progress(self, user: str, kind: str = "request") -> list[Progress]:
        """Return how far the requests (or jobs) of `user` are that are being computed, by any process."""
        ...

    def memory(self) -> int:
        """Return how many bytes of memory the workers hold together; 0 where the cluster does not answer."""
        ...

    def workers(self) -> int | None:
        """Return the number of workers; None where the cluster does not answer."""
        ...


class DaskCluster:
    """A Dask cluster by its scheduler's address; connected when first needed, and again when the connection is lost."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None
        self._lock = threading.Lock()
        self._failed = float("-inf")

    def compute(self, asked: Asked, value: Any, deadline: Stopper) -> Any:
        """Compute `value` as one graph; on a timeout or when the client hangs up, its tasks are dropped.

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
        with self._announced(asked) as client:
            return repack(_gather(client, collections, asked, deadline))[0]

    def progress(self, user: str, kind: str = "request") -> list[Progress]:
        """Ask the scheduler how far the requests (or jobs) of `user` are."""
        return [Progress(**item) for item in _call(self._connected(), "openeo_progress", user=user, kind=kind)]

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

    @contextlib.contextmanager
    def _announced(self, asked: Asked) -> Iterator[Any]:
        """Have the scheduler count the tasks of a request as long as the block runs."""
        client = self._connected()
        about = {"request": asked.id, "user": asked.user, "started": asked.started, "kind": asked.kind}
        _call(client, "openeo_begin", **about, sender=client.id)
        try:
            yield client
        finally:
            with contextlib.suppress(OpenEOError):  # the scheduler is gone, and with it the entry
                _call(client, "openeo_end", request=asked.id)

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
            raise _busy()
        try:
            options = {"timeout": CONNECT_SECONDS, "set_as_default": False, "direct_to_workers": True}
            return Client(self._address, **options, name="openeo")  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError) as error:
            self._failed = time.monotonic()
            logger.warning("the Dask scheduler at %s does not answer: %s", self._address, error)
            raise _busy() from None


def _call(client: Any, operation: str, **arguments: Any) -> Any:
    """Call one of the scheduler's handlers; those of `RequestsPlugin` are installed where they are missing.

    They are missing after an operator's own scheduler was started or restarted; ours starts with them.
    """
    from backend.sync.plugin import RequestsPlugin

    async def ask() -> Any:
        return await getattr(client.scheduler, operation)(**arguments)

    try:
        if operation.startswith("openeo_"):
            client.register_plugin(RequestsPlugin())  # does nothing where the scheduler has it
        return client.sync(ask, callback_timeout=CALL_SECONDS)
    except (OSError, TimeoutError) as error:
        logger.warning("the Dask scheduler does not answer: %s", error)
        raise _busy() from None


def _gather(client: Any, collections: Sequence[Any], asked: Asked, deadline: Stopper) -> Sequence[Any]:
    """Compute the collections as one graph, below one last task that bears the request's id."""
    over = threading.Event()
    parts = client.compute(list(collections))
    # Dropping this one key drops the request's tasks, and never those of an equal request that runs beside it.
    last = client.submit(_together, *parts, key=f"{KEY_PREFIX}{asked.id}", pure=False)
    del parts
    try:
        last.add_done_callback(lambda _: over.set())
        while not over.wait(POLL_SECONDS):
            deadline.check()
        return _result(last)
    finally:
        last.cancel()


def _result(last: Any) -> Sequence[Any]:
    try:
        computed: Sequence[Any] = last.result()
    except OpenEOError:
        raise
    except Exception as error:
        raise (_of_task(error) if last.status == "error" else _busy()) from error
    return computed


def _together(*parts: Any) -> list[Any]:
    return list(parts)


def _of_task(error: Exception) -> Exception:
    """Return a task's failure as what the client can do about it; a defect as it is."""
    from distributed.scheduler import KilledWorker

    from udf import InputError

    if isinstance(error, KilledWorker | MemoryError):
        message = f"The computation needs more memory than a worker has. {REMEDY}"
        return OpenEOError("ProcessGraphComplexity", message)
    if isinstance(error, InputError):
        message = f"The value passed for parameter 'data' in process 'multimodal_embed' is invalid: {error}"
        return OpenEOError("ProcessParameterInvalid", message)
    return error


def _busy() -> OpenEOError:
    return OpenEOError(
        "InfrastructureBusy", "The compute cluster does not answer at the moment; try again in a minute."
    )
