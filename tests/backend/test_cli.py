"""The command line: fast help, one-line errors, users and collections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backend.cli import COMMANDS, run
from backend.settings import Settings, read_settings
from backend.settings_page import settings_page
from processes.errors import OpenEOError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENEO_EMBED_DATA", raising=False)


def test_help_lists_all_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom backend.cli import run\nstatus = run(['--help'])\n"
        "heavy = {'torch', 'dask', 'flask', 'xarray', 'numpy', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    for name in COMMANDS:
        assert f"  {name} " in ended.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "Usage: openeo-embed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["nonsense"], 2),
        (["serve", "--port", "x"], 2),
        (["serve", "--nonsense"], 2),
        (["serve", "--port", "-1"], 1),
        (["serve", "--port", "70000"], 1),
        (["serve", "--host", "no such host"], 1),
        (["user", "remove", "nobody"], 1),
        (["user", "add", "anna"], 2),
        (["catalog", "check", "NONE"], 1),
        (["catalog", "add", "/nothing/here"], 1),
    ],
)
def test_errors_are_short_and_have_a_status(
    arguments: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == status
    told = capsys.readouterr().err
    assert "Error: " in told
    assert "Traceback" not in told
    assert status == 2 or told.count("\n") == 1


def test_users_are_added_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    line = [sys.executable, "-m", "backend.cli", "user", "add", "anna", "--password-stdin", *data]
    added = subprocess.run(line, input="correct horse\n", capture_output=True, text=True, timeout=30)
    assert (added.returncode, added.stdout) == (0, "Added the user anna.\n")
    again = subprocess.run(line, input="short\n", capture_output=True, text=True, timeout=30)
    assert again.returncode == 1
    assert "at least 8 characters" in again.stderr
    assert run(["user", "list", *data]) == 0
    assert capsys.readouterr().out == "anna\n"
    assert run(["user", "remove", "anna", *data]) == 0
    assert run(["user", "remove", "anna", *data]) == 1


def test_settings_prefer_flags_to_variables_to_defaults() -> None:
    environ = {"OPENEO_EMBED_PORT": "99", "OPENEO_EMBED_HOST": "::1", "OPENEO_EMBED_DEMO_USER": "yes"}
    settings = read_settings(environ, port=7, threads=None)
    assert (settings.port, settings.host, settings.demo_user, settings.threads) == (7, "::1", True, 1)
    assert Settings.from_json(settings.to_json()) == settings
    assert settings.data.is_absolute()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "x"),
        ("PORT", "-1"),
        ("SYNC_SECONDS", "nan"),
        ("DEMO_USER", "maybe"),
        ("LOG_FORMAT", "xml"),
        ("WEB_THREADS", "0"),
    ],
)
def test_wrong_settings_name_the_variable(variable: str, value: str) -> None:
    with pytest.raises(OpenEOError, match=f"OPENEO_EMBED_{variable} is '{value}'"):
        read_settings({f"OPENEO_EMBED_{variable}": value})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False), ("", False), ("::", False)],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert Settings(host=host).is_loopback is loopback


def test_settings_are_documented() -> None:
    page = settings_page()
    for name in Settings.__dataclass_fields__:
        assert f"`OPENEO_EMBED_{name.upper()}`" in page
    written = Path(__file__).parents[2] / "docs" / "settings.md"
    assert written.read_text(encoding="utf-8") == page, "run: python -m backend.settings_page > docs/settings.md"
