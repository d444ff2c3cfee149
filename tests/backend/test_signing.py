"""Signed links, and the secret behind them."""

from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from backend.signing import Signer, signing_key
from processes.errors import OpenEOError
from tests.backend.conftest import Clock

PATH = "/jobs/a/results/assets/result.tif"


@pytest.fixture
def signer(clock: Clock) -> Signer:
    return Signer(b"key", 100.0, clock)


def _query(signer: Signer, path: str = PATH) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(signer.sign(path, signer.expiry())).query))


def _code(signer: Signer, query: dict[str, str], path: str = PATH) -> tuple[str, int]:
    with pytest.raises(OpenEOError) as refused:
        signer.check(path, query)
    return refused.value.code, refused.value.status


def test_a_link_opens_its_path_until_it_expires(signer: Signer, clock: Clock) -> None:
    query = _query(signer)
    signer.check(PATH, query)
    clock.now += 99
    signer.check(PATH, query)
    clock.now += 2
    assert _code(signer, query) == ("ResultLinkExpired", 410)


def test_nothing_else_is_opened(signer: Signer, clock: Clock) -> None:
    query = _query(signer)
    wrong = ("TokenInvalid", 403)
    assert _code(signer, query, PATH + "x") == wrong
    assert _code(signer, {**query, "expires": str(int(query["expires"]) + 1)}) == wrong
    assert _code(signer, {**query, "signature": "0" + query["signature"][1:]}) == wrong
    assert _code(Signer(b"other", 100.0, clock), query) == wrong
    for odd in ({}, {"signature": "é"}, {**query, "expires": "1e9"}, {**query, "expires": "٣"}, {"expires": "9" * 30}):
        assert _code(signer, odd) == wrong


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data" / "signing.key"
    keys: list[bytes] = []
    with caplog.at_level(logging.DEBUG):
        threads = [threading.Thread(target=lambda: keys.append(signing_key(path))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.key"]
    assert keys[0].hex() not in caplog.text
    assert signing_key(tmp_path / "other.key") != keys[0]


@pytest.mark.parametrize(("content", "mode"), [("ab" * 32, 0o644), ("short", 0o600), ("zz" * 32, 0o600)])
def test_keys_that_cannot_be_trusted_are_refused(tmp_path: Path, content: str, mode: int) -> None:
    path = tmp_path / "signing.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(OpenEOError) as refused:
        signing_key(path)
    assert refused.value.code == "StorageFailure"
    assert content not in refused.value.message
