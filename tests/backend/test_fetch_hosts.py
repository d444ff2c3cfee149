"""The setting that opens further hosts to the URLs of users."""

from __future__ import annotations

import pytest

from backend.settings import Settings, read_settings
from processes.errors import OpenEOError


def test_none_are_open_unless_listed() -> None:
    assert read_settings({}).fetch_rules.hosts == ()


def test_hosts_are_listed_by_commas_and_reach_other_processes() -> None:
    settings = read_settings({"OPENEO_EMBED_FETCH_HOSTS": "data.lan, LOCALHOST:8000,[::1]:80,"})
    rules = Settings.from_json(settings.to_json()).fetch_rules
    assert rules.hosts == ("data.lan", "localhost:8000", "[::1]:80")
    assert rules.permits("data.lan", 80)
    assert rules.permits("data.lan", 443)
    assert rules.permits("localhost", 8000)
    assert rules.permits("::1", 80)
    assert not rules.permits("data.lan", 8000)
    assert not rules.permits("localhost", 80)
    assert not rules.permits("evil.data.lan", 443)


@pytest.mark.parametrize(
    "hosts", ["http://data.lan", "data.lan/path", "*.lan", "user@data.lan", "a b", "data.lan:http"]
)
def test_what_is_no_host_ends_the_start(hosts: str) -> None:
    with pytest.raises(OpenEOError, match="OPENEO_EMBED_FETCH_HOSTS") as error:
        read_settings({"OPENEO_EMBED_FETCH_HOSTS": hosts})
    assert error.value.code == "SettingInvalid"
