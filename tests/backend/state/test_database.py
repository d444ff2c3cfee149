"""The database: migrations from nothing and from the first servers' layout, and what stores rely on."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from backend.auth import UserStore
from backend.state import Database
from backend.state.tables import ATTEMPTS, JOB_LOGS, METADATA, USERS
from backend.state.upgrade import HEAD, configuration, revision
from processes.errors import OpenEOError
from tests.backend.fakes import CHEAP, PASSWORD

# What servers made before there were migrations.
FIRST_LAYOUT = """
CREATE TABLE users (
    name VARCHAR(64) NOT NULL, password_hash VARCHAR(256) NOT NULL, created FLOAT NOT NULL, PRIMARY KEY (name)
);
CREATE TABLE tokens (
    digest VARCHAR(64) NOT NULL, user VARCHAR(64) NOT NULL, expires FLOAT NOT NULL, PRIMARY KEY (digest)
);
CREATE INDEX ix_tokens_user ON tokens (user);
CREATE TABLE login_attempts (
    "key" VARCHAR(64) NOT NULL, count INTEGER NOT NULL, since FLOAT NOT NULL, PRIMARY KEY ("key")
);
"""


def test_migrations_make_exactly_the_tables(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    assert revision(database.engine) == HEAD


def test_head_is_the_last_migration() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD


def test_the_first_layout_is_upgraded_with_its_users(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    hashed = CHEAP.hash(PASSWORD)
    old = sqlite3.connect(path)
    old.executescript(FIRST_LAYOUT)
    with old:
        old.execute("INSERT INTO users VALUES ('anna', ?, 1.0)", (hashed,))
    old.close()
    database = Database(f"sqlite:///{path}")
    users = UserStore(database, hasher=CHEAP)
    assert users.user_of(users.log_in("anna", PASSWORD, "a")) == "anna"
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    database.close()


def test_opening_again_changes_nothing(database: Database, database_url: str) -> None:
    with database.writing() as connection:
        connection.execute(insert(USERS).values(name="anna", password_hash="x", created=1.0))
    again = Database(database_url)
    with again.reading() as connection:
        assert connection.execute(select(USERS.c.name)).scalars().all() == ["anna"]
    again.close()


def test_many_can_open_a_new_database_at_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def opened() -> None:
        try:
            Database(database_url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_database_of_a_newer_server_is_refused(database: Database, database_url: str) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OpenEOError, match="another version") as refused:
        Database(database_url)
    assert refused.value.code == "StorageFailure"


def test_what_fails_is_rolled_back(database: Database) -> None:
    row = {"name": "anna", "password_hash": "x", "created": 1.0}
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(insert(USERS), [row, row])
    with database.reading() as connection:
        assert connection.execute(select(USERS.c.name)).all() == []


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(insert(JOB_LOGS).values(job="none", time=1.0, level=1, message="m", more={}))


def test_writers_wait_for_each_other(database: Database) -> None:
    """What one reads and then writes, no other changes between: counts come out right."""
    with database.writing() as connection:
        connection.execute(insert(ATTEMPTS).values(key="k", count=0, since=0.0))

    def add() -> None:
        for _ in range(10):
            with database.taking_turns(1) as connection:
                count = connection.execute(select(ATTEMPTS.c.count)).scalar_one()
                connection.execute(text("UPDATE login_attempts SET count = :count"), {"count": count + 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.execute(select(ATTEMPTS.c.count)).scalar_one() == 40


def test_sqlite_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'new' / 'state.sqlite'}").close()
    assert stat.S_IMODE((tmp_path / "new" / "state.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("nonsense", "SettingInvalid", "no URL"),
        ("mysql://host/name", "SettingInvalid", "sqlite or postgresql"),
        ("sqlite:////proc/none/x.sqlite", "StorageFailure", "cannot be"),
        ("postgresql://anna:secret@127.0.0.1:1/none", "StorageFailure", "127.0.0.1"),
    ],
)
def test_urls_that_cannot_be(url: str, code: str, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as refused:
        Database(url)
    assert refused.value.code == code
    assert "secret" not in refused.value.message
