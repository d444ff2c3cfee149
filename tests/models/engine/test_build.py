"""Compiling: once, into a folder of one's own, and plain torch where it fails."""

from __future__ import annotations

import logging
import stat

import pytest

from models.engine.dense import DenseEngine
from models.engine.dense.native import build
from tests.models.engine.scenes import two_sensors


@pytest.fixture
def no_library(monkeypatch):
    build.library.cache_clear()
    yield monkeypatch
    build.library.cache_clear()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a library that was compiled just now: compiling takes seconds."""
    folder = tmp_path_factory.mktemp("built")
    build.build(folder)
    return folder


def test_without_a_compiler_plain_torch_runs_and_the_log_says_so(no_library, caplog):
    no_library.setattr(build.shutil, "which", lambda name: None)
    with caplog.at_level(logging.WARNING):
        engine = DenseEngine(two_sensors())
    assert not engine.compiled
    assert "no C++ compiler" in caplog.text
    with pytest.raises(ValueError, match="no compiled kernels"):
        DenseEngine(two_sensors(), compiled=True)


def test_a_compiler_that_fails_is_quoted(no_library, tmp_path, caplog):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'out of disk space' >&2\nexit 1\n")
    compiler.chmod(0o755)
    no_library.setattr(build.shutil, "which", lambda name: str(compiler))
    no_library.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert build.library() is None
    assert "out of disk space" in caplog.text
    assert [f.name for f in (tmp_path / "openeo-embed").iterdir()] == []  # nothing half-made stays


@pytest.mark.skipif(build.library() is None, reason="there is no C++ compiler")
def test_it_is_compiled_once(no_library, built):
    (path,) = built.iterdir()
    made = path.stat().st_mtime_ns
    assert build.build(built) == path
    assert path.stat().st_mtime_ns == made
    assert list(built.iterdir()) == [path]


def test_a_folder_that_others_can_write_to_is_not_trusted(no_library, tmp_path):
    no_library.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = build._cache_folder()
    assert own == tmp_path / "openeo-embed"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    own.chmod(0o777)
    other = build._cache_folder()
    assert other != own
    assert stat.S_IMODE(other.stat().st_mode) == 0o700


@pytest.mark.skipif(build.library() is None, reason="there is no C++ compiler")
def test_a_library_that_is_given_is_used_and_none_compiled(no_library, built, caplog):
    (path,) = built.iterdir()
    no_library.setattr(build, "build", lambda *_: pytest.fail("it compiles"))
    no_library.setenv(build.GIVEN, str(path))
    assert build.library()._name == str(path)
    assert build.library(rounded=True) is None  # only the exact ones are given
    build.library.cache_clear()
    no_library.setenv(build.GIVEN, "")
    assert build.library() is None
    assert "names no library" in caplog.text
