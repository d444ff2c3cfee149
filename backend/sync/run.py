"""One synchronous request from its process graph to an open file."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backend.results import ResultFormat, default_format, find_format
from backend.sync.deadline import Deadline
from backend.sync.estimate import MeteredCatalog, check_estimate, estimate
from backend.sync.request import SyncRequest
from processes.environment import Environment
from processes.save import SaveRequest

if TYPE_CHECKING:
    from backend.context import Context

logger = logging.getLogger("backend.sync")


@dataclass(frozen=True)
class ResultFile:
    """A result as an open file without a name on disk: it is gone as soon as it is closed."""

    file: IO[bytes]
    size: int
    form: ResultFormat


def run_sync(context: Context, asked: SyncRequest, deadline: Deadline) -> ResultFile:
    """Check, estimate, compute and write one request.

    Raises
    ------
    OpenEOError
        Whatever is wrong with the graph, its size or its format (before any work), or went wrong while computing.
    """
    services = context.services
    catalog = MeteredCatalog(services.catalog)
    env = Environment(catalog=catalog, models=services.models)
    value = services.graphs.evaluate(services.graphs.check(asked.process), env)
    data, form, options = _target(value)
    form.check(data, options)
    cost = estimate(data, catalog.cubes, env.ledger.embeddings)
    check_estimate(cost, context.settings)
    deadline.check()
    started = time.monotonic()
    computed = services.cluster.compute(asked, data, deadline)
    told = f"Computed in {time.monotonic() - started:.1f} s: {cost}."
    logger.info("request %s: %s", asked.id, told)
    context.logs.write(asked, [*env.ledger.messages, {"level": "info", "message": told}])
    return _write(form, computed, options, context.settings.run_folder)


def _target(value: Any) -> tuple[Any, ResultFormat, dict[str, Any]]:
    """Return what is to be saved, how, and with which options."""
    if isinstance(value, SaveRequest):
        return value.data, find_format(value.format), dict(value.options)
    return value, default_format(value), {}


def _write(form: ResultFormat, value: Any, options: dict[str, Any], folder: Path) -> ResultFile:
    """Write the result to a folder of its own, which is deleted at once: what stays is the open file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="result-") as own:
        path = Path(own) / f"result{form.suffix}"
        form.write(value, options, path)
        return ResultFile(path.open("rb"), path.stat().st_size, form)
