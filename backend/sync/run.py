"""One synchronous request from its process graph to an open file. Batch jobs go the same way, through `prepare`."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import xarray as xr

from backend.disk import writing_to
from backend.files import FilesOf
from backend.files.quota import ModelsWithin
from backend.jobs.reading import ResultsOf
from backend.metrics.accounting import by_process, measured
from backend.results import ResultFormat, default_format, find_format
from backend.sync import spool as spools
from backend.sync.deadline import Deadline, Stopper
from backend.sync.estimate import Estimate, MeteredCatalog, check_estimate, estimate
from backend.sync.request import SyncRequest
from backend.sync.spool import Spool
from processes.environment import Environment, Ledger
from processes.errors import OpenEOError
from processes.save import SaveRequest
from udf.telling import Heard

if TYPE_CHECKING:
    from backend.context import Context, Services
    from backend.sync.seam import Asked
    from processes.sources import Catalog

logger = logging.getLogger("backend.sync")


@dataclass(frozen=True)
class Prepared:
    """A process that was checked, evaluated to lazy values and costed: what is left is to compute and write them.

    `loaded` are the lazy cubes that it is made of.
    """

    request: SaveRequest
    form: ResultFormat
    cost: Estimate
    loaded: list[xr.DataArray]

    @property
    def data(self) -> Any:
        """The lazy values."""
        return self.request.data

    @property
    def spooled(self) -> bool:
        """Whether the values are better kept in a file than in memory."""
        return self.form.copies > 0 and self.cost.result_bytes > spools.SPOOL_BYTES

    def write(self, computed: Any, path: Path) -> Any:
        """Write what `data` was computed to, and return what was written."""
        value = self.request.finish(computed)
        self.form.write(value, self.request.options, path)
        return value


@dataclass(frozen=True)
class ResultFile:
    """A result as an open file without a name on disk: it is gone as soon as it is closed."""

    file: IO[bytes]
    size: int
    form: ResultFormat


def prepare(services: Services, process: Mapping[str, Any], user: str, ledger: Ledger, deadline: Stopper) -> Prepared:
    """Check a process of `user` and evaluate it, lazily; what it says and how much it embeds goes into `ledger`.

    Raises
    ------
    OpenEOError
        Whatever is wrong with the graph or its format, and whatever `deadline` raises, which is asked before each node.
    """
    catalog = MeteredCatalog(services.catalog)
    env = replace(environment(services, user, ledger, catalog), stop=deadline.check)
    graphs = services.graphs.of(user)
    request = _request(graphs.evaluate(graphs.check(process), env))
    form = find_format(request.format)
    form.check(request.data, request.options)
    loaded = [*catalog.cubes, *ledger.cubes]
    deadline.check()
    cost = estimate(request.data, loaded, ledger.embeddings)
    return Prepared(request, form, cost, loaded)


def environment(services: Services, user: str | None, ledger: Ledger, catalog: Catalog) -> Environment:
    """Return what processes may ask for when `user` has them evaluated; None is whoever has not logged in."""
    ml_models = None
    if services.ml_models is not None and user is not None:
        ml_models = ModelsWithin(services.ml_models(user), services, user)
    return Environment(
        catalog=catalog,
        models=services.models,
        ledger=ledger,
        ml_models=ml_models,
        files=None if user is None else FilesOf(services.files, user),
        results=None if user is None else ResultsOf(services.jobs, services.results, services.signer, user),
        fetch=services.fetch,
        udf=None if services.udf is None else replace(services.udf, user=user or ""),
    )


def account(services: Services, asked: Asked, cost: Estimate, ledger: Ledger) -> dict[str, float]:
    """Return how many seconds of the workers' threads each process took, and keep how fast the cluster was."""
    seconds = by_process(services.cluster.spent(asked), ledger.made_by)
    services.speeds.add(measured(cost, seconds))
    return seconds


def compute(
    services: Services,
    asked: Asked,
    prepared: Prepared,
    ledger: Ledger,
    deadline: Stopper,
    file: IO[bytes] | None = None,
) -> Any:
    """Return the computed values; what tasks and users' code say on the workers goes into `ledger`.

    Where there is a `file`, large arrays are kept in it, and are lazy ones that read from there.
    """
    cluster = services.cluster
    kept = {} if file is None else {"spool": Spool(file)}
    try:
        with cluster.listening(ledger.topic, Heard(ledger.say)) if ledger.runs_code else contextlib.nullcontext():
            return cluster.compute(asked, prepared.data, deadline, ledger.nodes, **kept)
    finally:
        for message in cluster.notes(asked):
            ledger.say(message)


def run_sync(context: Context, asked: SyncRequest, deadline: Deadline) -> ResultFile:
    """Check, estimate, compute and write one request.

    Raises
    ------
    OpenEOError
        Whatever is wrong with the graph, its size or its format (before any work), or went wrong while computing.
    """
    ledger = Ledger()
    warnings = [{"level": "warning", "message": warning} for warning in asked.warnings]
    try:
        prepared, computed, told = _computed(context, asked, ledger, deadline)
    except OpenEOError as error:
        failed = {"level": "error", "code": error.code, "message": error.message}
        context.logs.write(asked, [*warnings, *ledger.messages, failed])
        raise
    context.logs.write(asked, [*warnings, *ledger.messages, {"level": "info", "message": told}])
    return _write(prepared, computed, context.settings.run_folder)


def _computed(context: Context, asked: SyncRequest, ledger: Ledger, deadline: Deadline) -> tuple[Prepared, Any, str]:
    """Return what was planned, its computed values, and what there is to say of the computation."""
    prepared = prepare(context.services, asked.process, asked.user, ledger, deadline)
    check_estimate(prepared.cost, context.settings)
    deadline.check()
    started = time.monotonic()
    computed = compute(context.services, asked, prepared, ledger, deadline)
    account(context.services, asked, prepared.cost, ledger)
    told = f"Computed in {time.monotonic() - started:.1f} s: {prepared.cost}."
    logger.info("request %s: %s", asked.id, told)
    return prepared, computed, told


def _request(value: Any) -> SaveRequest:
    """Return what is to be saved, how, and with which options."""
    return value if isinstance(value, SaveRequest) else SaveRequest(value, default_format(value).name)


def _write(prepared: Prepared, computed: Any, folder: Path) -> ResultFile:
    """Write the result to a folder of its own, which is deleted at once: what stays is the open file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="result-") as own:
        path = Path(own) / f"result{prepared.form.suffix}"
        with writing_to(folder):
            prepared.write(computed, path)
        return ResultFile(path.open("rb"), path.stat().st_size, prepared.form)
