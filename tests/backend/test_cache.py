"""What a server compiles is kept, also where its user has no home."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.supervise.cache import cache_variables


@pytest.mark.parametrize("home", ["/proc/nowhere", "~", "/dev/null"])
def test_without_a_home_the_cache_is_in_the_data_folder(tmp_path: Path, home: str) -> None:
    assert cache_variables({"HOME": home}, tmp_path) == {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_cache_that_can_be_written_to_is_left_alone(tmp_path: Path) -> None:
    for environ in ({"HOME": str(tmp_path)}, {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": str(tmp_path / "mine")}):
        assert cache_variables(environ, tmp_path / "data") == {}
