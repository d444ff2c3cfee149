"""The contract of `JobStore`, on each kind of database."""

from __future__ import annotations

import threading

import pytest

from backend.jobs.model import Draft, Job, LogEntry
from backend.jobs.sql_store import SqlJobStore
from backend.jobs.states import (
    CANCELED,
    CREATED,
    ERROR,
    FINISHED,
    QUEUED,
    RUNNING,
    Beat,
    Claim,
    Finish,
    LeaseLost,
    Produce,
    move,
)
from backend.jobs.store import JobStore, Limits
from backend.state import Database
from processes.errors import OpenEOError
from tests.backend.conftest import Clock

GRAPH = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": None}, "result": True}}}


@pytest.fixture
def store(database: Database, clock: Clock) -> JobStore:
    return SqlJobStore(database, Limits(per_user=1, in_all=3, attempts=2, kept=50), clock)


def _queued(store: JobStore, clock: Clock, user: str) -> str:
    clock.now += 1
    return store.start(user, store.create(user, Draft(GRAPH)).id).id


def test_a_new_job_is_what_was_said(store: JobStore, clock: Clock) -> None:
    made = store.create("anna", Draft(GRAPH, "Título", "ß", "debug"))
    assert made == store.get("anna", made.id) == store.find(made.id)
    assert made.draft == Draft(GRAPH, "Título", "ß", "debug")
    assert (made.state.status, made.created, made.updated) == (CREATED, clock.now, clock.now)
    assert (made.usage, made.results) == (None, None)


def test_nobody_sees_the_jobs_of_others(store: JobStore) -> None:
    job = store.create("anna", Draft(GRAPH)).id
    assert store.of("ben") == []
    for attempt in (
        lambda: store.get("ben", job),
        lambda: store.edit("ben", job, {"title": "mine"}),
        lambda: store.start("ben", job),
        lambda: store.cancel("ben", job),
        lambda: store.delete("ben", job),
    ):
        with pytest.raises(OpenEOError) as refused:
            attempt()
        assert (refused.value.code, refused.value.status) == ("JobNotFound", 404)
    assert store.delete_all("ben") == []
    assert store.get("anna", job).state.status == CREATED


@pytest.mark.parametrize("identifier", ["", "\0", "%", "a" * 32, "é", "' OR 1=1"])
def test_what_is_no_id_is_no_job(store: JobStore, identifier: str) -> None:
    job = store.create("anna", Draft(GRAPH)).id
    assert store.find(identifier) is None
    assert store.of("anna", None, identifier) == []
    with pytest.raises(OpenEOError) as refused:
        store.get("anna", identifier)
    assert refused.value.code == "JobNotFound"
    assert store.find(job) is not None


def test_odd_texts_in_graphs_are_kept(store: JobStore) -> None:
    process = {"process_graph": {"n": {"process_id": "text", "arguments": {"t": "\0 \ud800 ß 🛰"}}}}
    job = store.create("anna", Draft(process)).id
    assert store.get("anna", job).draft.process == process


def test_jobs_are_listed_latest_first_in_pages(store: JobStore, clock: Clock) -> None:
    made = []
    for index in range(5):
        clock.now += index % 2  # some at the same time
        made.append(store.create("anna", Draft(GRAPH)).id)
    listed = [job.id for job in store.of("anna")]
    assert sorted(listed) == sorted(made)
    first = [job.id for job in store.of("anna", 2)]
    assert first == listed[:2]
    assert [job.id for job in store.of("anna", 2, first[-1])] == listed[2:4]
    assert [job.id for job in store.of("anna", None, listed[-1])] == []
    assert store.of("ben", 2, first[-1]) == []


def test_editing(store: JobStore, clock: Clock) -> None:
    job = store.create("anna", Draft(GRAPH, "old", "kept")).id
    clock.now += 5
    edited = store.edit("anna", job, {"title": "new", "process": {"process_graph": {}}})
    assert edited.draft == Draft({"process_graph": {}}, "new", "kept")
    assert edited.updated == clock.now
    assert store.edit("anna", job, {}) == edited
    store.start("anna", job)
    with pytest.raises(OpenEOError, match="queued") as refused:
        store.edit("anna", job, {"title": "newer"})
    assert refused.value.code == "JobLocked"
    store.claim("r", 10)
    with pytest.raises(OpenEOError, match="running"):
        store.edit("anna", job, {"title": "newer"})
    assert store.get("anna", job).draft.title == "new"


def test_too_many_jobs(database: Database) -> None:
    store = SqlJobStore(database, Limits(kept=2))
    for _ in range(2):
        store.create("anna", Draft(GRAPH))
    with pytest.raises(OpenEOError) as refused:
        store.create("anna", Draft(GRAPH))
    assert refused.value.code == "StorageQuotaExceeded"
    store.create("ben", Draft(GRAPH))


def test_a_claim_makes_the_move_of_the_state_machine(store: JobStore, clock: Clock) -> None:
    before = store.find(_queued(store, clock, "anna"))
    assert before is not None
    clock.now += 3
    claimed = store.claim("r", 10.0)
    assert claimed is not None
    assert claimed.state == move(before.state, Claim("r", clock.now, 10.0), 2)
    assert store.find(before.id) == claimed
    assert store.claim("s", 10.0) is None


def test_one_users_jobs_run_in_the_order_of_their_start(store: JobStore, clock: Clock) -> None:
    jobs = [_queued(store, clock, "anna") for _ in range(3)]
    for expected in jobs:
        job = store.claim("r", 10)
        assert job is not None
        assert job.id == expected
        store.report(job.id, Finish("r", clock.now))


def test_users_take_turns_however_many_jobs_one_has(store: JobStore, clock: Clock) -> None:
    for _ in range(4):
        _queued(store, clock, "anna")
    for _ in range(2):
        _queued(store, clock, "ben")
    turns = []
    for _ in range(6):
        clock.now += 1
        job = store.claim("r", 10)
        assert job is not None
        turns.append(job.user)
        store.report(job.id, Finish("r", clock.now))
    assert turns == ["anna", "ben", "anna", "ben", "anna", "anna"]


def test_limits_per_user_and_in_all(store: JobStore, clock: Clock) -> None:
    for user in ("anna", "anna", "ben", "carl", "dora"):
        _queued(store, clock, user)
    taken = [store.claim(f"r{index}", 10) for index in range(4)]
    assert [job and job.user for job in taken] == ["anna", "ben", "carl", None]


def test_no_job_is_given_to_two_and_limits_hold_when_all_claim_at_once(database: Database, clock: Clock) -> None:
    store = SqlJobStore(database, Limits(per_user=2, in_all=5), clock)
    for user in ("anna", "ben", "carl"):
        for _ in range(3):
            _queued(store, clock, user)
    claimed: list[Job] = []

    def claim(name: str) -> None:
        for _ in range(3):
            job = store.claim(name, 100)
            if job is not None:
                claimed.append(job)

    threads = [threading.Thread(target=claim, args=(f"r{index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in claimed}) == len(claimed) == 5
    assert max([job.user for job in claimed].count(user) for user in ("anna", "ben", "carl")) == 2


def test_a_run_from_start_to_end(store: JobStore, clock: Clock) -> None:
    job = _queued(store, clock, "anna")
    assert store.any_waiting()
    store.claim("r", 10)
    assert not store.any_waiting()
    clock.now += 4
    beaten = store.report(job, Beat("r", clock.now, 10, 42.0)).state
    assert (beaten.status, beaten.progress, beaten.lease and beaten.lease.until) == (RUNNING, 42.0, clock.now + 10)
    store.report(job, Produce("r", clock.now), results={"assets": {"a": 1}}, result_bytes=70)
    assert store.result_bytes("anna") == 70
    store.report(job, Finish("r", clock.now), usage={"duration": {"value": 4, "unit": "s"}})
    done = store.get("anna", job)
    assert (done.state.status, done.state.progress, done.state.has_results) == (FINISHED, 100.0, True)
    assert done.results == {"assets": {"a": 1}}
    assert done.usage == {"duration": {"value": 4, "unit": "s"}}
    assert store.result_bytes("ben") == 0


def test_starting_again_forgets_the_last_run(store: JobStore, clock: Clock) -> None:
    job = _queued(store, clock, "anna")
    store.claim("r", 10)
    store.log(job, [LogEntry("info", "first run", 1.0)])
    store.report(job, Produce("r", clock.now), results={"assets": {}}, result_bytes=70)
    store.report(job, Finish("r", clock.now), usage={})
    again = store.start("anna", job)
    assert (again.state.status, again.state.run, again.results, again.usage) == (QUEUED, 2, None, None)
    assert store.entries(job) == []
    assert store.result_bytes("anna") == 0
    store.log(job, [LogEntry("info", "waits", 1.0)])
    assert store.start("anna", job) == again
    assert [entry.message for entry in store.entries(job)] == ["waits"]


def test_lapsed_jobs_are_taken_back_until_the_last_attempt(store: JobStore, clock: Clock) -> None:
    job = _queued(store, clock, "anna")
    for status in (QUEUED, ERROR):
        assert store.claim("r", 10) is not None
        assert store.take_back() == []
        clock.now += 11
        (taken,) = store.take_back()
        assert (taken.id, taken.state.status) == (job, status)
        with pytest.raises(LeaseLost):
            store.report(job, Beat("r", clock.now, 10, 1.0))
    assert store.claim("r", 10) is None


def test_canceling_and_deleting_take_the_job_from_its_runner(store: JobStore, clock: Clock) -> None:
    canceled, deleted = (_queued(store, clock, user) for user in ("anna", "ben"))
    assert {store.claim(name, 10) is None for name in ("r", "r")} == {False}
    assert store.cancel("anna", canceled).state.status == CREATED
    store.log(deleted, [LogEntry("info", "m", 1.0)])
    store.delete("ben", deleted)
    for job in (canceled, deleted):
        with pytest.raises(LeaseLost):
            store.report(job, Beat("r", clock.now, 10, 1.0))
    assert store.entries(deleted) == []
    store.log(deleted, [LogEntry("info", "too late", 1.0)])
    assert store.entries(deleted) == []
    assert store.find(deleted) is None


def test_canceling_with_results_keeps_them(store: JobStore, clock: Clock) -> None:
    job = _queued(store, clock, "anna")
    store.claim("r", 10)
    store.report(job, Produce("r", clock.now), results={"assets": {}}, result_bytes=1)
    canceled = store.cancel("anna", job)
    assert (canceled.state.status, canceled.results) == (CANCELED, {"assets": {}})


def test_all_jobs_of_a_user_can_be_deleted(store: JobStore, clock: Clock) -> None:
    jobs = [_queued(store, clock, "anna") for _ in range(3)]
    kept = _queued(store, clock, "ben")
    assert sorted(store.delete_all("anna")) == sorted(jobs)
    assert (store.of("anna"), [job.id for job in store.of("ben")]) == ([], [kept])


def test_logs_are_read_by_level_and_in_pages(store: JobStore) -> None:
    job, other = (store.create("anna", Draft(GRAPH)).id for _ in range(2))
    levels = ("debug", "info", "warning", "error", "info")
    store.log(job, [LogEntry(level, f"{level} ünd\0", 1.5, "Code", {"data": [1, None]}) for level in levels])
    store.log(other, [LogEntry("info", "another job's", 1.0)])
    entries = store.entries(job)
    assert [entry.level for entry in entries] == list(levels)
    assert entries[0] == LogEntry("debug", "debug ünd�", 1.5, "Code", {"data": [1, None]}, entries[0].id)
    numbers = [int(entry.id) for entry in entries]
    assert numbers == sorted(set(numbers))
    assert [entry.level for entry in store.entries(job, "warning")] == ["warning", "error"]
    assert store.entries(job, "debug", entries[1].id, 2) == entries[2:4]
    assert store.entries(job, "debug", entries[-1].id) == []


def test_changes_at_once_are_all_made(database: Database, clock: Clock) -> None:
    store = SqlJobStore(database, clock=clock)
    job = store.create("anna", Draft(GRAPH)).id
    fields = ["title", "description"]

    def change(name: str) -> None:
        for index in range(8):
            store.edit("anna", job, {name: f"{name} {index}"})

    threads = [threading.Thread(target=change, args=(name,)) for name in fields]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edited = store.get("anna", job).draft
    assert (edited.title, edited.description) == ("title 7", "description 7")
