"""The moves of a batch job: a table of all of them, and what holds after any sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.jobs.model import Draft
from backend.jobs.sql_store import SqlJobStore
from backend.jobs.states import (
    AT_REST,
    CANCELED,
    CREATED,
    ERROR,
    FINISHED,
    QUEUED,
    RUNNING,
    STATUSES,
    Beat,
    Cancel,
    Claim,
    Edit,
    Event,
    Fail,
    Finish,
    JobState,
    Lapse,
    Lease,
    LeaseLost,
    Produce,
    Refused,
    Release,
    Start,
    move,
)
from backend.jobs.store import Limits
from backend.state import Database

NOW, LATER = 100.0, 1000.0
ATTEMPTS = 3
EVENTS: dict[str, Event] = {
    "start": Start(NOW),
    "claim": Claim("r", NOW, 10.0),
    "beat": Beat("r", NOW, 10.0, 50.0),
    "produce": Produce("r", NOW),
    "finish": Finish("r", NOW),
    "fail": Fail("r", NOW),
    "retry": Fail("r", NOW, retry=True),
    "release": Release("r", NOW),
    "lapse": Lapse(LATER),
    "cancel": Cancel(NOW),
    "edit": Edit(NOW),
}
# What each event makes of each status; what is not in here is refused.
MOVES = {
    CREATED: {"start": QUEUED, "cancel": CREATED, "edit": CREATED},
    QUEUED: {"start": QUEUED, "claim": RUNNING, "cancel": CREATED},
    RUNNING: {
        "start": RUNNING,
        "beat": RUNNING,
        "produce": RUNNING,
        "finish": FINISHED,
        "fail": ERROR,
        "retry": QUEUED,
        "release": QUEUED,
        "lapse": QUEUED,
        "cancel": CREATED,
    },
    CANCELED: {"start": QUEUED, "cancel": CANCELED, "edit": CANCELED},
    FINISHED: {"start": QUEUED, "cancel": FINISHED, "edit": FINISHED},
    ERROR: {"start": QUEUED, "cancel": ERROR, "edit": ERROR},
}


def state(status: str, **changes: Any) -> JobState:
    """Return a job of that status, in its first run and attempt."""
    made = JobState(status)
    if status != CREATED:
        made = replace(made, run=1, attempts=1, queued=1.0, started=2.0, claimed=2.0)
    if status == RUNNING:
        made = replace(made, lease=Lease("r", 200.0))
    return replace(made, **changes)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", EVENTS)
def test_all_moves(status: str, name: str) -> None:
    before, event = state(status), EVENTS[name]
    if name in MOVES[status]:
        assert move(before, event, ATTEMPTS).status == MOVES[status][name]
    else:
        with pytest.raises(Refused):
            move(before, event, ATTEMPTS)


@pytest.mark.parametrize("name", ["beat", "produce", "finish", "fail", "retry", "release"])
@pytest.mark.parametrize("before", [state(RUNNING, lease=Lease("other", 200.0)), state(CREATED), state(QUEUED)])
def test_only_the_runner_that_has_the_job_reports(name: str, before: JobState) -> None:
    with pytest.raises(LeaseLost):
        move(before, EVENTS[name], ATTEMPTS)


def test_a_new_run_starts_from_nothing() -> None:
    before = state(FINISHED, progress=100.0, has_results=True, ended=50.0, attempts=2)
    assert move(before, Start(NOW), ATTEMPTS) == JobState(QUEUED, 2, queued=NOW, claimed=before.claimed)


def test_a_lease_that_has_not_lapsed_stays() -> None:
    with pytest.raises(Refused):
        move(state(RUNNING), Lapse(200.0), ATTEMPTS)


@pytest.mark.parametrize("event", [Lapse(LATER), Fail("r", NOW, retry=True)])
def test_the_last_attempt_is_the_last(event: Event) -> None:
    assert move(state(RUNNING, attempts=ATTEMPTS - 1), event, ATTEMPTS).status == QUEUED
    failed = move(state(RUNNING, attempts=ATTEMPTS), event, ATTEMPTS)
    assert (failed.status, failed.lease) == (ERROR, None)


def test_being_stopped_is_no_attempt() -> None:
    assert move(state(RUNNING), EVENTS["release"], ATTEMPTS).attempts == 0


def test_canceling_keeps_results() -> None:
    canceled = move(state(RUNNING, has_results=True, progress=98.0), Cancel(NOW), ATTEMPTS)
    assert (canceled.status, canceled.has_results, canceled.progress) == (CANCELED, True, 98.0)
    reset = move(state(RUNNING, progress=40.0), Cancel(NOW), ATTEMPTS)
    assert (reset.status, reset.progress, reset.started) == (CREATED, 0.0, None)


def test_progress_never_goes_back_nor_beyond_the_end() -> None:
    at = state(RUNNING, progress=60.0)
    assert move(at, Beat("r", NOW, 10.0, 20.0), ATTEMPTS).progress == 60.0
    assert move(at, Beat("r", NOW, 10.0, 170.0), ATTEMPTS).progress == 100.0


times = st.floats(0, 1e6)
runners = st.sampled_from(["r", "s"])
events = st.one_of(
    st.builds(Start, times),
    st.builds(Claim, runners, times, st.floats(0, 100)),
    st.builds(Beat, runners, times, st.floats(0, 100), st.floats(0, 200)),
    st.builds(Produce, runners, times),
    st.builds(Finish, runners, times),
    st.builds(Fail, runners, times, st.booleans()),
    st.builds(Release, runners, times),
    st.builds(Lapse, times),
    st.builds(Cancel, times),
    st.builds(Edit, times),
)


@given(st.lists(events, max_size=40), st.integers(1, 4))
def test_what_holds_after_any_sequence(sequence: list[Event], attempts: int) -> None:
    at = JobState()
    for event in sequence:
        try:
            after = move(at, event, attempts)
        except Refused:
            continue
        assert (after.lease is not None) == (after.status == RUNNING)
        assert 0 <= after.attempts <= attempts
        assert 0 <= after.progress <= 100
        assert after.run == at.run + (isinstance(event, Start) and at.status in AT_REST)
        assert not (after.status in (CREATED, QUEUED) and at.status in AT_REST and after.has_results and after != at)
        assert after.progress >= at.progress or after.status in (QUEUED, CREATED)
        if after.status == FINISHED:
            assert after.progress == 100
        if isinstance(event, Edit):
            assert after == at
        at = after


@settings(max_examples=30, deadline=None)
@given(st.lists(events, max_size=25))
def test_the_store_makes_the_same_moves(tmp_path_factory: pytest.TempPathFactory, sequence: list[Event]) -> None:
    """Whatever happens to a job, its row is what the pure function says."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('moves') / 'state.sqlite'}")
    store = SqlJobStore(database, Limits(attempts=ATTEMPTS))
    job = store.create("anna", Draft({})).id
    at = JobState()
    for event in sequence:
        try:
            expected = move(at, event, ATTEMPTS)
        except Refused as refused:
            with pytest.raises(type(refused)):
                store.report(job, event)
            continue
        assert store.report(job, event).state == expected
        at = expected
    assert store.get("anna", job).state == at
    database.close()
