"""Settings that cannot be end the start with a message that names the variable, its value and what it may be."""

from __future__ import annotations

from typing import Any

import pytest

from backend.settings import read_settings, unknown_settings
from processes.errors import OpenEOError


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("worker_memory", "nonsense", "4GiB"),
        ("worker_memory", "4", "100 MB"),
        ("worker_memory", "0.5", "4GiB"),
        ("worker_memory", "", None),
        ("public_url", "openeo.example", "https://"),
        ("public_url", "ftp://openeo.example", "https://"),
        ("public_url", "https://", "https://"),
        ("public_url", "https://openeo.example/?a=b", "without a query"),
        ("public_url", "https://anna:secret@openeo.example/", "https://"),
        ("public_url", "https://openeo.example:99999/", "https://"),
        ("sync_concurrent", "16", "OPENEO_EMBED_WEB_THREADS"),
        ("sync_concurrent", "11", "at most 10"),
        ("scheduler", "here", "tcp://"),
        ("metrics_token", "short", "16 characters"),
        ("result_days", "-1", "at least 0"),
    ],
)
def test_what_cannot_be(name: str, value: str, words: str | None) -> None:
    environ = {f"OPENEO_EMBED_{name.upper()}": value}
    if words is None:  # an empty variable is one that is not set
        read_settings(environ)
        return
    with pytest.raises(OpenEOError, match=name.upper()) as raised:
        read_settings(environ)
    assert raised.value.code == "SettingInvalid"
    assert words in raised.value.message


def test_a_token_that_is_refused_is_not_shown() -> None:
    with pytest.raises(OpenEOError) as raised:
        read_settings({"OPENEO_EMBED_METRICS_TOKEN": "mysecret"})
    assert "mysecret" not in raised.value.message


@pytest.mark.parametrize(
    "flags",
    [
        {"worker_memory": "auto"},
        {"worker_memory": "4GiB"},
        {"worker_memory": "1.5 GB"},
        {"worker_memory": "500000000"},
        {"public_url": "http://127.0.0.1:8080"},
        {"public_url": "https://openeo.example/api/v1/"},
        {"sync_concurrent": 10},
        {"sync_concurrent": 30, "web_threads": 36},
        {"metrics_token": "a token of sixteen and more"},
    ],
)
def test_what_can_be(flags: dict[str, Any]) -> None:
    settings = read_settings({}, **flags)
    assert {name: getattr(settings, name) for name in flags} == flags


def test_variables_that_are_no_settings_are_told() -> None:
    """A letter too few, and the limit that an operator counts on is the default."""
    environ = {"OPENEO_EMBED_WORKER": "3", "OPENEO_EMBED_NONSENSE": "1", "OPENEO_EMBED_TRACEBACK": "1"}
    told = unknown_settings({**environ, "OPENEO_EMBED_WORKERS": "2", "HOME": "/"})
    assert told == ["OPENEO_EMBED_NONSENSE", "OPENEO_EMBED_WORKER (OPENEO_EMBED_WORKERS?)"]
