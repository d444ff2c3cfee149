"""Results of batch jobs as process graphs read them: from the storage, never by way of HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from backend.jobs import stac
from backend.jobs.model import Job, job_not_found
from backend.jobs.states import CREATED, ERROR, QUEUED, RUNNING
from backend.jobs.storage import ResultStorage
from backend.jobs.store import JobStore
from backend.signing import Signer
from processes.errors import OpenEOError

# The results of a job, or one item of theirs; whatever the server's own path before it is.
_PATH = re.compile(r"/jobs/([0-9a-f]{32})/results(?:/items/([^/]+))?/?$")


@dataclass(frozen=True)
class StoredResults:
    """The files of one job; see `processes.environment.ResultFiles`. It can be sent to workers."""

    storage: ResultStorage
    job: str
    folder: str
    assets: Mapping[str, Mapping[str, Any]]

    def open(self, name: str) -> IO[bytes]:
        """Open a file."""
        path = self.storage.locate(self.job, self.folder, name) if name in self.assets else None
        try:
            if path is not None:
                return path.open("rb")
        except FileNotFoundError:
            pass
        message = f"The batch job {self.job} has no result file '{name[:100]}' any more: it was started again."
        raise OpenEOError("FileNotFound", message)


@dataclass(frozen=True)
class ResultsOf:
    """The results of one user's jobs; see `processes.environment.UserResults`."""

    jobs: JobStore
    storage: ResultStorage
    signer: Signer
    user: str

    def of(self, job: str) -> StoredResults:
        """Return the results of one of the user's jobs.

        Raises
        ------
        OpenEOError
            JobNotFound, for other users' jobs too; JobNotStarted, JobNotFinished.
        """
        return self._files(self.jobs.get(self.user, job), None)

    def at(self, url: str) -> StoredResults | None:
        """Return the results at a URL of this server: the user's own, or signed by this server.

        The host is not looked at: nobody else can sign, and no other server has jobs of these ids. Of all other URLs
        nothing is known here.

        Raises
        ------
        OpenEOError
            ResultLinkExpired for another user's results; JobNotStarted, JobNotFinished.
        """
        try:
            parts = urlsplit(url)
        except ValueError:  # brackets that hold no address, say
            return None
        match = _PATH.search(parts.path)
        job = self.jobs.find(match[1]) if match else None
        if match is None or job is None:
            return None
        item = unquote(match[2]) if match[2] else None
        if job.user != self.user and not self._is_signed(job, item, dict(parse_qsl(parts.query))):
            return None
        return self._files(job, item)

    def _is_signed(self, job: Job, item: str | None, query: Mapping[str, str]) -> bool:
        """Whether this server has signed a link; one that has expired is an error."""
        path = stac.results_path(job) if item is None else stac.item_path(job, item)
        try:
            self.signer.check(path, query)
        except OpenEOError as error:
            if error.code == "ResultLinkExpired":
                raise
            return False
        return True

    def _files(self, job: Job, item: str | None) -> StoredResults:
        status = job.state.status
        if status == CREATED:
            raise OpenEOError("JobNotStarted", f"The batch job {job.id} was never started, so it has no results.")
        if status in (QUEUED, RUNNING):
            message = f"The batch job {job.id} has not finished computing its results, it is {status}; try again later."
            raise OpenEOError("JobNotFinished", message)
        if status == ERROR or not job.state.has_results or job.results is None:
            message = f"The batch job {job.id} ended without results ({status}); its log says why. Start it again."
            raise OpenEOError("JobNotFinished", message)
        assets = dict(job.results["assets"])
        if item is not None and item not in assets:
            raise job_not_found(f"{job.id}/results/items/{item}")
        return StoredResults(
            self.storage, job.id, job.results["folder"], assets if item is None else {item: assets[item]}
        )
