"""Batch jobs: `/jobs` and each of them."""

from __future__ import annotations

import math
import time
from typing import Any

from flask import Blueprint, Response, g, request

from backend.auth import authenticated
from backend.body import json_object
from backend.context import Context, current
from backend.jobs.model import Draft, LogEntry
from backend.jobs.views import job_details, job_summary
from backend.metrics.speeds import BYTES, EMBEDDINGS
from backend.parsing import JobChanges, JobFields, NewJob, check_editable, parse
from backend.routes.paging import limit_parameter, page_links
from backend.sync.deadline import Deadline, hang_up_of
from backend.sync.estimate import Estimate
from backend.sync.run import prepare
from processes.environment import Ledger

# Seconds that an estimate waits for its turn, and that it may take.
PATIENCE, ESTIMATE_SECONDS = 5.0, 60.0

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
    context = current()
    job = context.services.jobs.get(g.user, job_id)
    deadline = Deadline(ESTIMATE_SECONDS, hang_up_of(request.environ))
    with context.planning.entered(PATIENCE):
        cost = prepare(context.services, job.draft.process, g.user, Ledger(), deadline).cost
    measures = {name: getattr(cost, name) for name in ("pixels", "dates", "loaded_bytes", "embeddings", "tasks")}
    return {"costs": 0, "size": cost.result_bytes, **measures, **_duration(context, cost)}


def _duration(context: Context, cost: Estimate) -> dict[str, Any]:
    """Tell how long a job takes once it runs, and in how many computations that speed was measured."""
    threads = context.services.cluster.threads()
    if not threads:
        return {}
    speeds = context.services.speeds.all()
    runs = speeds[EMBEDDINGS if cost.embeddings else BYTES].runs
    seconds = max(1, math.ceil(cost.seconds(speeds, threads)))
    return {"duration": f"PT{seconds}S", "threads": threads, "measured_runs": runs}


def _warn(job_id: str, asked: JobFields) -> None:
    """Say in the job's log which properties have no effect."""
    message = asked.warning()
    if message:
        current().services.jobs.log(job_id, [LogEntry("warning", message, time.time())])
