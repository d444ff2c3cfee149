"""The states of a batch job and the moves between them: one pure function, applied by the store.

created -> queued -> running -> finished | error
queued, running -> (cancel) -> created, or canceled where there are results already
running -> (lease lapsed, cluster gone) -> queued, or error after the last attempt
created, canceled, finished, error -> (start) -> queued, a new run
canceled, finished -> (results expire) -> created
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CREATED, QUEUED, RUNNING = "created", "queued", "running"
CANCELED, FINISHED, ERROR = "canceled", "finished", "error"
STATUSES = (CREATED, QUEUED, RUNNING, CANCELED, FINISHED, ERROR)
# Nobody works on these, and nobody is about to.
AT_REST = frozenset({CREATED, CANCELED, FINISHED, ERROR})


@dataclass(frozen=True)
class Lease:
    """Which runner has the job, and until when it does unless it says more."""

    runner: str
    until: float


@dataclass(frozen=True)
class JobState:
    """Where a job is. Times are seconds since 1970.

    Parameters
    ----------
    status : str
        One of `STATUSES`.
    run : int
        How often the job was started; each run has results of its own.
    attempts : int
        How often a runner has begun this run.
    queued, started, ended : float or None
        When this run was queued, first begun, and over.
    claimed : float or None
        When a runner took it last, in whatever run.
    lease : Lease or None
        Set exactly while the job is running.
    heartbeat : float or None
        When the runner was last heard of.
    progress : float
        Percent of this run that is done.
    has_results : bool
        Whether files of this run can be downloaded.
    """

    status: str = CREATED
    run: int = 0
    attempts: int = 0
    queued: float | None = None
    started: float | None = None
    ended: float | None = None
    claimed: float | None = None
    lease: Lease | None = None
    heartbeat: float | None = None
    progress: float = 0.0
    has_results: bool = False


@dataclass(frozen=True)
class Start:
    """The user wants the job computed; nothing happens to one that waits or runs."""

    now: float


@dataclass(frozen=True)
class Claim:
    """A runner takes a waiting job for `seconds`."""

    runner: str
    now: float
    seconds: float


@dataclass(frozen=True)
class Beat:
    """The runner lives, and has so many percent done."""

    runner: str
    now: float
    seconds: float
    progress: float


@dataclass(frozen=True)
class Produce:
    """The runner has stored the results; describing and tidying up may still go wrong."""

    runner: str
    now: float


@dataclass(frozen=True)
class Finish:
    """The runner is done."""

    runner: str
    now: float


@dataclass(frozen=True)
class Fail:
    """The runner could not do it; with `retry` the reason may pass, and the job waits for the next attempt."""

    runner: str
    now: float
    retry: bool = False


@dataclass(frozen=True)
class Release:
    """The runner is told to stop and gives the job back; that is no attempt that failed."""

    runner: str
    now: float


@dataclass(frozen=True)
class Lapse:
    """The lease is over and the runner was not heard of."""

    now: float


@dataclass(frozen=True)
class Cancel:
    """The user wants no more computing; nothing happens to a job at rest."""

    now: float


@dataclass(frozen=True)
class Edit:
    """The user changes what the job is; only one at rest can be changed."""

    now: float


@dataclass(frozen=True)
class Expire:
    """The results have been kept for as long as the operator wants to; without them a job is as if never started."""

    now: float


Event = Start | Claim | Beat | Produce | Finish | Fail | Release | Lapse | Cancel | Edit | Expire


class Refused(Exception):
    """A move that cannot be made from this state."""


class LeaseLost(Refused):
    """The runner has the job no more: it was canceled, deleted, or given to another one."""


def move(state: JobState, event: Event, most_attempts: int) -> JobState:
    """Return the state after an event.

    Parameters
    ----------
    state : JobState
    event : Event
    most_attempts : int
        How often a run is begun before it fails for good.

    Raises
    ------
    Refused
        The event cannot happen in this state; `LeaseLost` where it comes from a runner that has not got the job.
    """
    if isinstance(event, Start):
        return _start(state, event)
    if isinstance(event, Claim):
        return _claim(state, event)
    if isinstance(event, Cancel):
        return _cancel(state, event)
    if isinstance(event, Edit):
        if state.status not in AT_REST:
            raise Refused(f"the job is {state.status}")
        return state
    if isinstance(event, Expire):
        return _expire(state)
    if isinstance(event, Lapse):
        if state.status != RUNNING or state.lease is None or state.lease.until >= event.now:
            raise Refused("the lease has not lapsed")
        return _again(state, event.now, most_attempts)
    return _by_runner(state, event, most_attempts)


def _start(state: JobState, event: Start) -> JobState:
    if state.status not in AT_REST:
        return state
    return JobState(QUEUED, state.run + 1, queued=event.now, claimed=state.claimed)


def _claim(state: JobState, event: Claim) -> JobState:
    if state.status != QUEUED:
        raise Refused(f"the job is {state.status}")
    return replace(
        state,
        status=RUNNING,
        attempts=state.attempts + 1,
        started=event.now if state.started is None else state.started,
        claimed=event.now,
        lease=Lease(event.runner, event.now + event.seconds),
        heartbeat=event.now,
    )


def _cancel(state: JobState, event: Cancel) -> JobState:
    if state.status in AT_REST:
        return state
    if state.has_results:
        return replace(state, status=CANCELED, lease=None, ended=event.now)
    return replace(state, status=CREATED, lease=None, queued=None, started=None, ended=None, progress=0.0)


def _expire(state: JobState) -> JobState:
    if state.status not in AT_REST or not state.has_results:
        raise Refused("the job has no results, or a runner")
    if state.status == ERROR:
        return replace(state, has_results=False)
    return replace(state, status=CREATED, has_results=False, progress=0.0, queued=None, started=None, ended=None)


def _by_runner(state: JobState, event: Beat | Produce | Finish | Fail | Release, most_attempts: int) -> JobState:
    """Make the moves that only the runner which has the job can make."""
    if state.status != RUNNING or state.lease is None or state.lease.runner != event.runner:
        raise LeaseLost(f"the job is {state.status}" + (f" by {state.lease.runner}" if state.lease else ""))
    if isinstance(event, Beat):
        lease = Lease(event.runner, event.now + event.seconds)
        # What is computed again after a worker was lost does not turn the clock back.
        progress = max(state.progress, min(100.0, event.progress))
        return replace(state, lease=lease, heartbeat=event.now, progress=progress)
    if isinstance(event, Produce):
        return replace(state, has_results=True, heartbeat=event.now)
    if isinstance(event, Finish):
        return replace(state, status=FINISHED, lease=None, ended=event.now, progress=100.0)
    if isinstance(event, Release):
        return replace(state, status=QUEUED, lease=None, attempts=state.attempts - 1)
    if event.retry:
        return _again(state, event.now, most_attempts)
    return replace(state, status=ERROR, lease=None, ended=event.now)


def _again(state: JobState, now: float, most_attempts: int) -> JobState:
    """Let the job wait for the next attempt, if there is one left."""
    if state.attempts < most_attempts:
        return replace(state, status=QUEUED, lease=None, progress=0.0)
    return replace(state, status=ERROR, lease=None, ended=now)
