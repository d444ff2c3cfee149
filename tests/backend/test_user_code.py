"""Users' code as the settings have it: whether it is run, what is told of it, what is removed with a user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.settings import Settings, read_settings
from backend.user_code import remove_packages, runtimes, user_code_rules
from processes.errors import OpenEOError
from udf.packages import user_folder
from udf.sandbox import Offer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


@pytest.fixture
def nothing_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer("none", (), {"namespaces": "not permitted", "landlock": "switched off"})
    monkeypatch.setattr("udf.sandbox.offered", lambda: offer)


@pytest.mark.usefixtures("nothing_offered")
def test_without_isolation_no_code_is_run_and_the_reason_is_told(settings: Settings) -> None:
    rules = user_code_rules(settings)
    assert rules.refused is not None
    assert "not permitted" in rules.refused
    assert runtimes(rules) == {}


@pytest.mark.usefixtures("nothing_offered")
def test_the_operator_may_say_otherwise(settings: Settings) -> None:
    rules = user_code_rules(replace(settings, udf="unsafe"))
    assert rules.refused is None
    assert rules.unsafe
    assert list(runtimes(rules)) == ["Python"]


def test_where_isolation_is_offered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udf.sandbox.offered", lambda: Offer("landlock", ("landlock",), {}))
    rules = user_code_rules(replace(settings, udf_memory=2**30, udf_seconds=7))
    assert (rules.refused, rules.unsafe, rules.packages, rules.models) == (None, False, None, None)
    assert (rules.memory, rules.cpu_seconds, rules.wall_seconds) == (2**30, 7, 14)
    more = user_code_rules(replace(settings, udf_packages="/wheels", udf_models=True))
    assert more.packages is not None
    assert more.packages.index == "/wheels"
    assert more.models == (settings.data / "models",)
    assert "PEP 723" in runtimes(more)["Python"]["description"]
    assert "PEP 723" not in runtimes(rules)["Python"]["description"]


def test_switched_off(settings: Settings) -> None:
    rules = user_code_rules(replace(settings, udf="off"))
    assert "OPENEO_EMBED_UDF" in str(rules.refused)
    assert runtimes(rules) == runtimes(None) == {}


def test_other_words_are_refused() -> None:
    with pytest.raises(OpenEOError, match="auto, off, unsafe"):
        read_settings({"OPENEO_EMBED_UDF": "on"})


def test_packages_go_with_their_user(settings: Settings) -> None:
    for user in ("anna", "ben"):
        (user_folder(settings.udf_packages_folder, user) / "key" / "tinyudf").mkdir(parents=True)
    remove_packages(settings, "anna")
    remove_packages(settings, "nobody")
    assert [path.name for path in settings.udf_packages_folder.iterdir()] == [
        user_folder(settings.udf_packages_folder, "ben").name
    ]
