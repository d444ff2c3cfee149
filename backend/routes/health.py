"""Whether the server lives, `/health`, and whether it can compute, `/ready`: for supervisors and load balancers."""

from __future__ import annotations

import shutil
from typing import Any

from flask import Blueprint
from sqlalchemy.exc import SQLAlchemyError

from backend.context import Context, current

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> dict[str, Any]:
    """Answer that this process lives and serves."""
    return {"status": "ok"}


@blueprint.get("/ready")
def ready() -> tuple[dict[str, Any], int]:
    """Answer 200 when all is there that computing needs, else 503 with a list of what is missing."""
    context = current()
    workers = context.services.cluster.workers()
    missing = [*_missing_workers(workers), *_missing_database(context), *_missing_disk(context)]
    if missing:
        return {"status": "unavailable", "missing": missing}, 503
    return {"status": "ready", "workers": workers}, 200


def _missing_workers(workers: int | None) -> list[str]:
    if workers is None:
        return ["the Dask scheduler does not answer"]
    return [] if workers else ["no Dask worker is there"]


def _missing_database(context: Context) -> list[str]:
    try:
        context.services.jobs.any_waiting()
    except SQLAlchemyError:
        return ["the database does not answer"]
    return []


def _missing_disk(context: Context) -> list[str]:
    try:
        free = shutil.disk_usage(context.settings.data).free
    except OSError:
        return ["the data folder cannot be read"]
    return [] if free >= context.settings.disk_bytes else ["the disk of the data folder is full"]
