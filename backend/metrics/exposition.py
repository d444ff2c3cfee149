"""What `/metrics` tells, in the text format of Prometheus: requests, jobs and their queue, workers, work and speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from backend.metrics.speeds import BYTES, EMBEDDINGS

if TYPE_CHECKING:
    from backend.context import Services
    from backend.metrics.requests import RequestMeters

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "openeo_embed_"


def exposition(meters: RequestMeters, services: Services) -> bytes:
    """Return everything that is measured; what cannot be asked for just now is left out."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_State(services))
    return generate_latest(meters.shared()) + generate_latest(registry)  # type: ignore[arg-type]


class _State:
    """Reads what all processes share, the database and the cluster, when it is asked."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Any]:
        return ()

    def collect(self) -> Iterator[Any]:
        yield from self._database()
        yield from self._cluster()

    def _database(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        try:
            found = [*self._jobs(), *self._work()]
        except SQLAlchemyError:
            found = []
        yield GaugeMetricFamily(PREFIX + "database_up", "1 where the database answers.", value=bool(found))
        yield from found

    def _jobs(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        tally = self._services.jobs.tally()
        jobs = GaugeMetricFamily(PREFIX + "jobs", "Batch jobs by state.", labels=["state"])
        for state, count in tally.by_status.items():
            jobs.add_metric([state], count)
        yield jobs
        text = "How long the batch job that waits longest has been waiting; 0 where none waits."
        yield GaugeMetricFamily(PREFIX + "queue_age_seconds", text, value=tally.queue_age)

    def _cluster(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        workers = self._services.cluster.workers()
        yield GaugeMetricFamily(PREFIX + "cluster_up", "1 where the Dask scheduler answers.", value=workers is not None)
        if workers is None:
            return
        yield GaugeMetricFamily(PREFIX + "workers", "Dask workers.", value=workers)
        memory = self._services.cluster.memory()
        yield GaugeMetricFamily(PREFIX + "workers_memory_bytes", "Memory of all Dask workers.", value=memory)

    def _work(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        speeds = self._services.speeds.all()
        names = {EMBEDDINGS: "Embeddings (pixels x dates)", BYTES: "Bytes loaded"}
        for kind, text in names.items():
            speed = speeds[kind]
            yield CounterMetricFamily(PREFIX + kind, f"{text} by computations that are over.", speed.total_amount)
            text = f"Seconds of the workers' threads that they took ({kind})."
            yield CounterMetricFamily(f"{PREFIX}{kind}_thread_seconds", text, speed.total_seconds)
            text = f"{kind.capitalize()} that one thread does in a second; recent computations weigh most."
            yield GaugeMetricFamily(f"{PREFIX}{kind}_per_thread_second", text, speed.per_second(kind))
