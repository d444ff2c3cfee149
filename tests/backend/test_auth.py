"""Logging in, tokens, limits; the demo user's rules are tested with the server that enforces them."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.auth import UserStore
from backend.state import Database
from processes.errors import OpenEOError
from tests.backend.conftest import Clock, User, basic
from tests.backend.fakes import CHEAP, PASSWORD


@pytest.fixture
def store(database: Database, clock: Clock) -> UserStore:
    made = UserStore(database, 1.0, 3, 10, clock, CHEAP)
    made.add("anna", PASSWORD)
    return made


def test_both_forms_of_the_token_are_taken(client: FlaskClient) -> None:
    token = client.get("/credentials/basic", headers=basic("anna", PASSWORD)).json["access_token"]
    for header in (f"Bearer basic//{token}", f"Bearer {token}", f"bearer basic//{token}"):
        body = client.get("/me", headers={"Authorization": header}).json
        assert (body["user_id"], body["name"]) == ("anna", "anna")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("Basic %%%", 403, "CredentialsInvalid"),
        ("Basic YW5uYQ==", 403, "CredentialsInvalid"),
        ("Bearer x", 403, "AuthenticationSchemeInvalid"),
        ("", 401, "AuthenticationRequired"),
    ],
)
def test_malformed_logins(client: FlaskClient, header: str, status: int, code: str) -> None:
    answer = client.get("/credentials/basic", headers={"Authorization": header})
    assert (answer.status_code, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer basic//wrong", "TokenInvalid"),
        ("Bearer wrong", "TokenInvalid"),
        ("Bearer ", "TokenInvalid"),
        ("Bearer oidc/egi/x", "AuthenticationSchemeInvalid"),
        ("Bearer basic/x", "AuthenticationSchemeInvalid"),
        ("Basic YW5uYTp4", "AuthenticationSchemeInvalid"),
    ],
)
def test_wrong_tokens(client: FlaskClient, header: str, code: str) -> None:
    answer = client.get("/me", headers={"Authorization": header})
    assert (answer.status_code, answer.json["code"]) == (403, code)


def test_wrong_password_and_unknown_name_look_alike(client: FlaskClient) -> None:
    answers = [client.get("/credentials/basic", headers=basic(*who)) for who in (("anna", "no"), ("nobody", "no"))]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json["code"] == "CredentialsInvalid"
    assert answers[0].json["message"] == answers[1].json["message"]


def test_unknown_names_take_as_long_as_wrong_passwords(tmp_path: Path) -> None:
    store = UserStore(Database(f"sqlite:///{tmp_path / 'u.sqlite'}"), login_attempts=1000)
    store.add("anna", PASSWORD)

    def duration(name: str) -> float:
        start = time.perf_counter()
        with pytest.raises(OpenEOError):
            store.log_in(name, "wrong password", "1.2.3.4")
        return time.perf_counter() - start

    durations = {name: statistics.median(duration(name) for _ in range(5)) for name in ("anna", "nobody")}
    assert durations["nobody"] > durations["anna"] / 2


@pytest.mark.parametrize("name", ["", "\0", "a\0b", "é" * 100, "%"])
def test_names_that_nobody_can_have_are_wrong_names(store: UserStore, name: str) -> None:
    with pytest.raises(OpenEOError) as refused:
        store.log_in(name, PASSWORD, "a")
    assert refused.value.code == "CredentialsInvalid"


def test_tokens_expire_and_end_with_their_user(store: UserStore, clock: Clock) -> None:
    token = store.log_in("anna", PASSWORD, "a")
    assert store.user_of(token) == "anna"
    clock.now += 3601
    with pytest.raises(OpenEOError, match="expired"):
        store.user_of(token)
    token = store.log_in("anna", PASSWORD, "a")
    store.remove("anna")
    with pytest.raises(OpenEOError, match="expired"):
        store.user_of(token)


def test_tokens_can_be_revoked(store: UserStore) -> None:
    tokens = [store.log_in("anna", PASSWORD, "a") for _ in range(2)]
    store.add("ben", PASSWORD)
    other = store.log_in("ben", PASSWORD, "a")
    assert store.revoke("anna") == 2
    for token in tokens:
        with pytest.raises(OpenEOError, match="authenticate again"):
            store.user_of(token)
    assert store.user_of(other) == "ben"
    assert store.user_of(store.log_in("anna", PASSWORD, "a")) == "anna"
    with pytest.raises(OpenEOError, match="anna, ben"):
        store.revoke("nobody")


def test_guessing_is_stopped_per_name_and_address(store: UserStore, clock: Clock) -> None:
    for _ in range(3):
        with pytest.raises(OpenEOError) as refused:
            store.log_in("anna", "guess", "1.1.1.1")
        assert refused.value.code == "CredentialsInvalid"
    with pytest.raises(OpenEOError) as refused:
        store.log_in("anna", PASSWORD, "1.1.1.1")
    assert (refused.value.code, refused.value.status) == ("TooManyLogins", 429)
    assert store.log_in("anna", PASSWORD, "2.2.2.2")
    clock.now += 601
    assert store.log_in("anna", PASSWORD, "1.1.1.1")


def test_success_clears_the_count(store: UserStore) -> None:
    for _ in range(4):
        for _ in range(2):
            with pytest.raises(OpenEOError):
                store.log_in("anna", "guess", "1.1.1.1")
        store.log_in("anna", PASSWORD, "1.1.1.1")


def test_guessing_many_names_from_one_address_is_stopped(store: UserStore) -> None:
    codes = []
    for index in range(35):
        with pytest.raises(OpenEOError) as refused:
            store.log_in(f"name{index}", "guess", "1.1.1.1")
        codes.append(refused.value.code)
    assert codes.count("CredentialsInvalid") == 30


def test_counts_are_shared_between_processes(store: UserStore, database_url: str, clock: Clock) -> None:
    other = UserStore(Database(database_url), 1.0, 3, 10, clock, CHEAP)
    for which in (store, other, store):
        with pytest.raises(OpenEOError):
            which.log_in("anna", "guess", "a")
    with pytest.raises(OpenEOError, match="Too many"):
        other.log_in("anna", PASSWORD, "a")
    other.close()


@pytest.mark.parametrize(
    ("name", "password"),
    [("a b", PASSWORD), ("", PASSWORD), ("../x", PASSWORD), ("demo", PASSWORD), ("carl", "short"), ("anna", PASSWORD)],
)
def test_users_that_cannot_be_added(store: UserStore, name: str, password: str) -> None:
    with pytest.raises(OpenEOError):
        store.add(name, password)
    assert store.names() == ["anna"]


def test_removing_nobody_names_the_users(store: UserStore) -> None:
    with pytest.raises(OpenEOError, match="anna"):
        store.remove("nobody")


def test_demo_user_comes_and_goes(store: UserStore) -> None:
    store.set_demo(True)
    token = store.log_in("demo", "demo", "a")
    store.set_demo(False)
    assert store.names() == ["anna"]
    with pytest.raises(OpenEOError):
        store.user_of(token)


def test_neither_passwords_nor_tokens_are_stored(tmp_path: Path) -> None:
    store = UserStore(Database(f"sqlite:///{tmp_path / 'u.sqlite'}"))
    store.add("anna", PASSWORD)
    token = store.log_in("anna", PASSWORD, "a")
    store.close()
    with sqlite3.connect(tmp_path / "u.sqlite") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert "argon2id" in dump
    assert token not in dump
    assert PASSWORD not in dump
    assert (tmp_path / "u.sqlite").stat().st_mode & 0o077 == 0


def test_answers_to_users_are_not_cached(app: Flask, log_in: Callable[[str], User]) -> None:
    assert log_in("anna").get("/me").headers["Cache-Control"] == "no-store"
