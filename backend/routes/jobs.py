"""Batch jobs: `/jobs` and each of them."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, g, request

from backend.auth import authenticated
from backend.body import json_object
from backend.context import current
from backend.jobs.model import Draft, LogEntry
from backend.jobs.views import job_details, job_summary
from backend.parsing import JobChanges, JobFields, NewJob, check_editable, parse
from backend.routes.paging import limit_parameter, page_links
from backend.sync.run import prepare
from processes.environment import Ledger

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/jobs")
@authenticated
def jobs() -> dict[str, Any]:
    """List the caller's jobs, the latest first."""
    limit = limit_parameter()
    found = current().services.jobs.of(g.user, limit and limit + 1, request.args.get("after") or None)
    shown = [job_summary(job) for job in found[:limit]]
    more = len(found) > len(shown)
    return {"jobs": shown, "links": page_links("after", shown[-1]["id"] if more else None)}


@blueprint.post("/jobs")
@authenticated
def create() -> Response:
    """Keep a new job; whether its graph is sound is found out when it runs, or by `/validation`."""
    context = current()
    asked = parse(NewJob, json_object())
    draft = Draft(asked.process.given(), asked.title, asked.description, asked.log_level or "info")
    job = context.services.jobs.create(g.user, draft)
    _warn(job.id, asked)
    response = Response(status=201, mimetype="application/json")
    response.headers["Location"] = context.url(f"/jobs/{job.id}")
    response.headers["OpenEO-Identifier"] = job.id
    return response


@blueprint.get("/jobs/<job_id>")
@authenticated
def job(job_id: str) -> dict[str, Any]:
    """Describe one job completely."""
    return job_details(current().services.jobs.get(g.user, job_id), current().url)


@blueprint.patch("/jobs/<job_id>")
@authenticated
def change(job_id: str) -> Response:
    """Change a job that is neither queued nor running."""
    store = current().services.jobs
    store.get(g.user, job_id)
    asked = parse(JobChanges, json_object())
    check_editable(asked)
    store.edit(g.user, job_id, asked.changes())
    _warn(job_id, asked)
    return Response(status=204, mimetype="application/json")


@blueprint.delete("/jobs/<job_id>")
@authenticated
def delete(job_id: str) -> Response:
    """Delete a job, its log and its results; a computation is stopped."""
    services = current().services
    services.jobs.delete(g.user, job_id)
    services.results.remove(job_id)
    return Response(status=204, mimetype="application/json")


@blueprint.get("/jobs/<job_id>/estimate")
@authenticated
def estimate(job_id: str) -> dict[str, Any]:
    """Tell what a job would load, embed and produce; nothing is computed."""
    services = current().services
    job = services.jobs.get(g.user, job_id)
    cost = prepare(services, job.draft.process, g.user, Ledger()).cost
    measures = {"loaded_bytes": cost.loaded_bytes, "embeddings": cost.embeddings, "tasks": cost.tasks}
    return {"costs": 0, "size": cost.result_bytes, **measures}


def _warn(job_id: str, asked: JobFields) -> None:
    """Say in the job's log which properties have no effect."""
    message = asked.warning()
    if message:
        current().services.jobs.log(job_id, [LogEntry("warning", message, time.time())])
