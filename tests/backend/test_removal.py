"""A user who is removed leaves nothing: nobody who is given the name later finds it, and nobody else loses anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from backend.auth.opening import open_users
from backend.files import Workspaces
from backend.graphs import SqlGraphStore
from backend.jobs.model import Draft, LogEntry
from backend.jobs.opening import open_jobs
from backend.jobs.storage import LocalStorage
from backend.removal import remove_user
from backend.settings import Settings, read_settings
from backend.state import Database
from processes.errors import OpenEOError


class Things:
    """What users have in one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings.database_url)
        self.users = open_users(settings, self.database)
        self.jobs = open_jobs(settings, self.database)
        self.graphs = SqlGraphStore(self.database)
        self.results = LocalStorage(settings.results_folder)
        self.files = Workspaces(settings.files_folder, 1000, 1000)

    def give(self, user: str) -> str:
        """Give a user one of each; returns the job's id."""
        job = self.jobs.create(user, Draft({})).id
        self.jobs.log(job, [LogEntry("info", "m", 1.0)])
        with self.results.draft(job) as draft:
            (draft / "a.txt").write_text("a")
            self.results.publish(draft, job, "1-1")
        self.graphs.put(user, "mine", {"process_graph": {}})
        self.files.write(user, "a.txt", io.BytesIO(b"a"))
        return job

    def of(self, user: str, job: str) -> list[Any]:
        """Return what there is of a user."""
        found = [self.jobs.find(job), self.jobs.entries(job), self.results.locate(job, "1-1", "a.txt")]
        return [*found, self.graphs.ids(user), self.files.of(user), user in self.users.names()]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({}, data=tmp_path)


def test_all_that_a_user_has_goes_with_the_user(settings: Settings) -> None:
    things = Things(settings)
    jobs = {}
    for name in ("anna", "ben"):
        things.users.add(name, "correct horse")
        jobs[name] = things.give(name)
    remove_user(settings, "anna")
    assert not any(things.of("anna", jobs["anna"]))
    assert all(things.of("ben", jobs["ben"]))
    things.database.close()


def test_what_an_interrupted_removal_left_goes_when_it_is_repeated(settings: Settings) -> None:
    things = Things(settings)
    job = things.give("anna")
    with pytest.raises(OpenEOError) as refused:
        remove_user(settings, "anna")
    assert refused.value.code == "UserNotFound"
    assert not any(things.of("anna", job))
    things.database.close()
