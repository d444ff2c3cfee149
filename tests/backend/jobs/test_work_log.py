"""What a job's log says, and when."""

from __future__ import annotations

from typing import Any

import pytest

from processes.environment import Environment
from tests.backend.fakes import FakeCluster
from tests.backend.jobs.bench import Bench, process_of
from tests.backend.server import until


def test_what_processes_say_is_in_the_log_even_of_a_job_that_fails(bench: Bench) -> None:
    def talk(env: Environment, fail: bool) -> Any:
        for level in ("debug", "info", "error"):
            odd = {"level": level, "code": "User", "message": level, "data": {"nan": float("nan")}}
            env.ledger.messages.append(odd)
        return 1 / (not fail)

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    for fail in (False, True):
        job = bench.work(process_of("talk", fail=fail))
        assert job.state.status == ("error" if fail else "finished")
        said = [entry for entry in bench.services.jobs.entries(job.id) if entry.code == "User"]
        assert [entry.level for entry in said] == ["info", "error"]
        assert said[0].more == {"data": {"nan": None}}


def test_what_is_said_is_in_the_log_while_the_job_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both what the runner hears and what only the scheduler knows; nothing is lost or told twice."""
    monkeypatch.setattr("backend.jobs.watch.SECONDS", 0.02)
    notes = [[{"level": "warning", "message": "tiles"}]]
    monkeypatch.setattr(FakeCluster, "notes", lambda self, asked: notes.pop() if notes else [])

    def talk(env: Environment) -> Any:
        env.ledger.say({"level": "info", "message": "begun", "code": "Mine"})
        until(lambda: {"begun", "tiles"} <= {*bench.log(job)})
        env.ledger.say({"level": "info", "message": "seen", "code": "Mine"})
        return 1

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    job = bench.claim(process_of("talk"))
    bench.worker.work(job)
    said = bench.log(job)
    assert [text for text in said if text in ("begun", "tiles", "seen")] in (
        ["begun", "tiles", "seen"],
        ["tiles", "begun", "seen"],
    )


def test_what_no_database_takes_is_replaced_in_the_log(bench: Bench) -> None:
    odd = "a\0b\ud800"

    def talk(env: Environment) -> Any:
        env.ledger.say({"level": "info", "message": odd, "code": odd, "data": {odd: odd}})
        return 1

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    job = bench.work(process_of("talk"))
    assert job.state.status == "finished"
    (entry,) = [entry for entry in bench.services.jobs.entries(job.id) if entry.more.get("data")]
    assert entry.message == entry.code == "a�b?"


def test_the_log_level_of_a_job_is_kept(bench: Bench) -> None:
    job = bench.work(process_of("save", format="GTiff"), "error")
    assert (job.state.status, bench.log(job)) == ("finished", [])


def test_errors_of_the_user_are_told(bench: Bench) -> None:
    job = bench.work(process_of("save", format="PNG"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "FormatUnsuitable")
    assert job.results is None
    assert bench.files() == []


def test_defects_show_only_their_id(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    job = bench.work(process_of("boom"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "Internal")
    assert "secret" not in entry.message
    identifier = entry.message.rstrip(".").split()[-1]
    assert f"(id {identifier})" in caplog.text
    assert "a secret of the server" in caplog.text
