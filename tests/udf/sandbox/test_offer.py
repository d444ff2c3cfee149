"""What the system offers, and what happens where it offers nothing."""

from __future__ import annotations

import os

import pytest

from tests.attacks.hostile_code import READING
from udf.sandbox import Sandbox, SandboxError, offer, offered, visible
from udf.sandbox.offer import LEVELS, Offer


@pytest.fixture
def nothing_offered(monkeypatch):
    monkeypatch.setattr(
        offer, "_found", Offer("none", (), {"namespaces": "unshare: not permitted", "landlock": "absent"})
    )


def test_the_offer_names_each_level_or_why_not():
    found = offered()
    assert offered() is found
    assert {*found.levels, *found.reasons} == set(LEVELS)
    assert found.level == (found.levels[0] if found.levels else "none")


@pytest.mark.usefixtures("nothing_offered")
def test_without_isolation_it_says_why_and_what_to_do(opened):
    with pytest.raises(SandboxError, match="unshare: not permitted") as caught:
        opened()
    assert caught.value.kind == "unavailable"
    assert "deploy/sandbox.md" in caught.value.message


@pytest.mark.usefixtures("nothing_offered")
def test_an_operator_may_allow_it_all_the_same(opened):
    with opened(allow_unsafe=True) as box:
        assert box.level == "none"
        assert box.call({"code": "answer = {'sum': 1 + 1}"}, [])[0] == {"sum": 2}
        # Also the suite of attacks is worth something: here its code gets through.
        assert box.call({"code": READING[0].code}, [])[0]["got"].startswith("os.listdir")
        with pytest.raises(SandboxError) as caught:
            box.call({"code": "import os\nos._exit(1)"}, [])
        assert caught.value.kind == "crashed"


def test_a_level_that_is_not_offered_is_refused_with_its_reason(opened, monkeypatch):
    monkeypatch.setattr(offer, "_found", Offer("landlock", ("landlock",), {"namespaces": "forbidden here"}))
    with pytest.raises(SandboxError, match="does not offer namespaces: forbidden here"):
        opened(level="namespaces")


def test_unknown_levels_are_refused():
    from udf.sandbox import Limits

    with pytest.raises(ValueError, match="level is 'jail'"):
        Sandbox(Limits(), level="jail")


def test_no_folder_with_anything_but_packages_is_shown(tmp_path):
    shown = visible.trees([tmp_path])
    assert str(tmp_path) in shown
    for secret in (
        "/etc/passwd",
        "/home/anna/x",
        "/proc/1/environ",
        os.path.expanduser("~/.ssh/id"),
        os.getcwd() + "/data/x",
    ):
        assert not [path for path in shown if secret.startswith(path.rstrip("/") + "/") or secret == path]


def test_a_handler_that_is_not_there_is_told(opened):
    with opened(handler="nowhere:run") as box, pytest.raises(SandboxError, match="No module named 'nowhere'") as caught:
        box.call({}, [])
    assert caught.value.kind == "unavailable"
