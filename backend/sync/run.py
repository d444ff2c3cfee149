"""One synchronous request from its process graph to an open file. Batch jobs go the same way, through `prepare`."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import xarray as xr

from backend.files import FilesOf
from backend.results import ResultFormat, default_format, find_format
from backend.sync.deadline import Deadline
from backend.sync.estimate import Estimate, MeteredCatalog, check_estimate, estimate
from backend.sync.request import SyncRequest
from processes.environment import Environment, Ledger
from processes.save import SaveRequest

if TYPE_CHECKING:
    from backend.context import Context, Services
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


def prepare(services: Services, process: Mapping[str, Any], user: str, ledger: Ledger) -> Prepared:
    """Check a process of `user` and evaluate it, lazily; what it says and how much it embeds goes into `ledger`.

    Raises
    ------
    OpenEOError
        Whatever is wrong with the graph or its format.
    """
    catalog = MeteredCatalog(services.catalog)
    env = environment(services, user, ledger, catalog)
    graphs = services.graphs.of(user)
    request = _request(graphs.evaluate(graphs.check(process), env))
    form = find_format(request.format)
    form.check(request.data, request.options)
    loaded = [*catalog.cubes, *ledger.cubes]
    cost = estimate(request.data, loaded, ledger.embeddings)
    return Prepared(request, form, cost, loaded)


def environment(services: Services, user: str | None, ledger: Ledger, catalog: Catalog) -> Environment:
    """Return what processes may ask for when `user` has them evaluated; None is whoever has not logged in."""
    ml_models = services.ml_models(user) if services.ml_models is not None and user is not None else None
    return Environment(
        catalog=catalog,
        models=services.models,
        ledger=ledger,
        ml_models=ml_models,
        files=None if user is None else FilesOf(services.files, user),
        fetch=services.fetch,
    )


def run_sync(context: Context, asked: SyncRequest, deadline: Deadline) -> ResultFile:
    """Check, estimate, compute and write one request.

    Raises
    ------
    OpenEOError
        Whatever is wrong with the graph, its size or its format (before any work), or went wrong while computing.
    """
    ledger = Ledger()
    prepared = prepare(context.services, asked.process, asked.user, ledger)
    check_estimate(prepared.cost, context.settings)
    deadline.check()
    started = time.monotonic()
    computed = context.services.cluster.compute(asked, prepared.data, deadline)
    told = f"Computed in {time.monotonic() - started:.1f} s: {prepared.cost}."
    logger.info("request %s: %s", asked.id, told)
    warnings = [{"level": "warning", "message": warning} for warning in asked.warnings]
    context.logs.write(asked, [*warnings, *ledger.messages, {"level": "info", "message": told}])
    return _write(prepared, computed, context.settings.run_folder)


def _request(value: Any) -> SaveRequest:
    """Return what is to be saved, how, and with which options."""
    return value if isinstance(value, SaveRequest) else SaveRequest(value, default_format(value).name)


def _write(prepared: Prepared, computed: Any, folder: Path) -> ResultFile:
    """Write the result to a folder of its own, which is deleted at once: what stays is the open file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="result-") as own:
        path = Path(own) / f"result{prepared.form.suffix}"
        prepared.write(computed, path)
        return ResultFile(path.open("rb"), path.stat().st_size, prepared.form)
