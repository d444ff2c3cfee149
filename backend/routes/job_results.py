"""Computing batch jobs and what they produced: `/jobs/{job_id}/results`."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, g, request, send_file

from backend.auth import authenticated, token_user
from backend.context import current
from backend.jobs import stac
from backend.jobs.model import Job, job_not_found
from backend.jobs.states import CREATED, ERROR, QUEUED, RUNNING
from backend.jobs.views import log_entry
from processes.errors import OpenEOError

blueprint = Blueprint("job_results", __name__)


@blueprint.post("/jobs/<job_id>/results")
@authenticated
def start(job_id: str) -> Response:
    """Queue a job; its last results are gone then."""
    current().services.jobs.start(g.user, job_id)
    return Response(status=202, mimetype="application/json")


@blueprint.delete("/jobs/<job_id>/results")
@authenticated
def cancel(job_id: str) -> Response:
    """Stop a job that is queued or running."""
    current().services.jobs.cancel(g.user, job_id)
    return Response(status=204, mimetype="application/json")


@blueprint.get("/jobs/<job_id>/results")
def results(job_id: str) -> Response:
    """Describe what a job has produced: as a STAC Collection, or as an Item where GeoJSON is asked for."""
    job = _readable(job_id)
    if job.state.status == ERROR and not _partial():
        return _failure(job)
    _check_finished(job)
    context = current()
    expires = context.services.signer.expiry()
    media_type = request.accept_mimetypes.best_match(["application/json", stac.GEOJSON]) or "application/json"
    write = stac.all_in_one if media_type == stac.GEOJSON else stac.collection
    response = _json(write(job, lambda path: _signed(path, expires), expires), media_type)
    response.headers["OpenEO-Costs"] = "0"
    return response


@blueprint.get("/jobs/<job_id>/results/items/<name>")
def item(job_id: str, name: str) -> Response:
    """Describe one file of a job's results as a STAC Item."""
    job = _readable(job_id)
    _asset(job, name)
    expires = current().services.signer.expiry()
    return _json(stac.item(job, name, lambda path: _signed(path, expires)), stac.GEOJSON)


@blueprint.get("/jobs/<job_id>/results/assets/<name>")
def asset(job_id: str, name: str) -> Response:
    """Send one file of a job's results, or the range of it that was asked for."""
    job = _readable(job_id)
    about = _asset(job, name)
    path = current().services.results.locate(job.id, (job.results or {})["folder"], name)
    if path is None:
        raise _no_asset(name)
    response = send_file(path, about["type"], download_name=name, etag=about["file:checksum"])
    response.cache_control.private = True
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _readable(job_id: str) -> Job:
    """Return a job that the caller may read: the caller's own, or any for which the link is signed."""
    store = current().services.jobs
    if "signature" not in request.args:
        return store.get(token_user(), job_id)
    current().services.signer.check(request.path, request.args)
    job = store.find(job_id)
    if job is None:
        raise job_not_found(job_id)
    return job


def _signed(path: str, expires: int) -> str:
    return current().url(current().services.signer.sign(path, expires))


def _partial() -> bool:
    return request.args.get("partial", "false").lower() not in ("false", "0")


def _check_finished(job: Job) -> None:
    """Refuse to describe results that are not there yet, unless what there is was asked for."""
    if job.state.status == CREATED:
        raise OpenEOError("JobNotStarted", f"Batch job must be started first: POST /jobs/{job.id}/results.")
    if job.state.status in (QUEUED, RUNNING) and not _partial():
        message = f"Batch job has not finished computing the results yet, it is {job.state.status}; try again later."
        raise OpenEOError("JobNotFinished", message)


def _failure(job: Job) -> Response:
    """Answer with the last error of a job that failed."""
    errors = current().services.jobs.entries(job.id, "error")
    last: dict[str, Any] = log_entry(errors[-1]) if errors else {"id": "0", "level": "error", "message": "It failed."}
    response = _json(last, "application/json")
    response.status_code = 424
    return response


def _asset(job: Job, name: str) -> dict[str, Any]:
    about = (job.results or {}).get("assets", {}).get(name)
    if about is None or not job.state.has_results:
        raise _no_asset(name)
    return dict(about)


def _no_asset(name: str) -> OpenEOError:
    message = f"The batch job has no result file '{name[:100]}'; its results may have been computed anew."
    return OpenEOError("NotFound", message)


def _json(value: Any, media_type: str) -> Response:
    return Response(json.dumps(value), content_type=media_type)
