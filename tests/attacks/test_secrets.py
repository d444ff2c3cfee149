"""What must stay secret stands in no log, no answer and no command line, whatever is done and whatever fails."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import openeo
import psutil
import requests

from tests.attacks.conftest import DATABASE_PASSWORD, PASSWORD, USER, Target
from tests.backend.server import run_command, run_inside, until

ADD: dict[str, Any] = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
WRONG = "a-password-in-the-wrong-field"


def _do_everything(target: Target) -> tuple[str, list[str]]:
    """Log in rightly and wrongly, compute, fail, store, upload; return the answers' text, and tokens and signatures."""
    url = target.server.url
    told: list[str] = []

    def ask(method: str, path: str, **kwargs: Any) -> requests.Response:
        answer = requests.request(method, url + path, timeout=30, **kwargs)
        told.append(answer.text)
        return answer

    token = requests.get(url + "credentials/basic", auth=(USER, PASSWORD), timeout=30).json()["access_token"]
    login = {"Authorization": f"Bearer basic//{token}"}
    ask("GET", "credentials/basic", auth=(USER, WRONG))
    ask("GET", "credentials/basic", auth=(WRONG, PASSWORD))
    ask("GET", f"me?token={token}", headers={"Authorization": f"Bearer {token}x"})
    ask("GET", f"nothing/{WRONG}", headers=login)
    for path in ("me", "jobs", "files", "process_graphs", "health", ""):
        ask("GET", path, headers=login)
    ask("POST", "result", headers=login, json={"process": {"process_graph": ADD}})
    broken = {"a": {"process_id": "load_url", "arguments": {"url": f"https://u:{WRONG}@x.invalid/", "format": "JSON"}}}
    broken["a"]["result"] = True
    ask("POST", "result", headers=login, json={"process": {"process_graph": broken}})
    ask("PUT", "files/a.txt", headers=login, data=b"text")
    connection = openeo.connect(url).authenticate_basic(USER, PASSWORD)
    job = connection.create_job(ADD)
    job.start()
    until(lambda: job.status() in ("finished", "error"), 90)
    told.append(json.dumps([job.describe(), job.logs()]))
    links = [asset.href for asset in job.get_results().get_assets()]
    signatures = [href.split("signature=")[1] for href in links]
    assert signatures
    for href in links:
        assert requests.get(href, timeout=30).status_code == 200
        told.append(requests.get(href + "0", timeout=30).text)
    return "\n".join(told), [token, *signatures]


def test_no_secret_is_told(target: Target) -> None:
    answers, tokens = _do_everything(target)
    key = (target.folder / "signing.key").read_text().strip()
    log = target.server.log.read_text()
    lines = "\n".join(" ".join(process.cmdline()) for process in target.server.family() if process.is_running())
    assert "GET /me 200" in log  # this is the log
    secrets = [PASSWORD, WRONG, key, *tokens, *([DATABASE_PASSWORD] if target.database else [])]
    for where, text in (("log", log), ("command line", lines)):
        found = [secret for secret in secrets if secret in text and (where, secret) != ("log", WRONG)]
        assert found == [], where
    # A wrong path is logged as it is; passwords travel in headers and stay out.
    assert [line for line in log.splitlines() if WRONG in line and "GET /nothing/" not in line] == []
    assert [secret for secret in (PASSWORD, key, DATABASE_PASSWORD, tokens[0]) if secret in answers] == []
    assert "Traceback" not in answers


def test_files_with_secrets_are_their_owners_alone(target: Target) -> None:
    private = [target.folder / "signing.key", *target.folder.glob("users.sqlite*")]
    assert [path.name for path in private if path.stat().st_mode & 0o077] == []


def test_stored_secrets_are_hashes(target: Target) -> None:
    """In SQLite they can be looked for in the file; both databases have the same tables."""
    for path in target.folder.glob("users.sqlite*"):
        content = path.read_bytes()
        assert PASSWORD.encode() not in content
        connection = sqlite3.connect(path) if path.suffix == ".sqlite" else None
        if connection is not None:
            hashes = [row[0] for row in connection.execute("SELECT password_hash FROM users")]
            connection.close()
            assert hashes
            assert all(value.startswith("$argon2id$") for value in hashes)


def test_an_unreachable_database_is_told_without_its_password(tmp_path: Any) -> None:
    url = f"postgresql://openeo:{DATABASE_PASSWORD}@127.0.0.1:1/openeo"
    for run, line in ((run_inside, ("user", "list")), (run_command, ("serve", "--port", 0))):
        ended = run(*line, "--data", tmp_path / "data", OPENEO_EMBED_DATABASE=url)
        assert ended.returncode != 0
        assert "127.0.0.1" in ended.stderr
        assert DATABASE_PASSWORD not in ended.stdout + ended.stderr


def test_no_process_of_ours_shows_its_settings(target: Target) -> None:
    """Settings go to the children over a pipe: any user of the machine can read command lines."""
    supervisor = psutil.Process(target.server.process.pid)
    assert all(str(target.folder) not in " ".join(child.cmdline()) for child in supervisor.children())
