"""Log lines as JSON: each names the request and the job that it is about, and nothing that is secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.context import Services
from backend.jobs.model import Draft
from backend.jobs.runner import Runner
from backend.logs import JsonFormatter, _is_no_end_of_waiting, logging_about
from tests.backend.conftest import User
from tests.backend.fakes import graph, settings_in


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines that the backend has logged as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("web"))
    logger = logging.getLogger("backend")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_request_is_one_line_with_its_id_and_job(anna: User, lines: Callable[[], list[dict[str, Any]]]) -> None:
    job = "0123456789abcdef" * 2
    answer = anna.get(f"/jobs/{job}?secret=1")
    (line,) = lines()
    assert line["request"] == answer.json["id"]
    assert (line["part"], line["level"], line["job"]) == ("web", "info", job)
    assert (line["method"], line["path"], line["status"]) == ("GET", f"/jobs/{job}", 404)
    assert line["milliseconds"] >= 0
    assert line["time"].endswith("Z")
    assert "secret" not in str(line)
    assert anna.headers["Authorization"].split("/")[-1] not in str(line)


def test_what_a_defect_logs_has_the_id_that_its_user_is_told(
    anna: User, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    told = anna.post("/result", json=graph("boom")).json
    defect, request = lines()
    assert defect["request"] == request["request"] == told["id"]
    assert "ZeroDivisionError" in defect["traceback"]


def test_after_a_request_its_id_is_gone(anna: User, lines: Callable[[], list[dict[str, Any]]]) -> None:
    anna.get("/jobs")
    logging.getLogger("backend").info("later")
    assert "request" not in lines()[-1]


def test_ids_that_can_be_none_are_left_out(anna: User, lines: Callable[[], list[dict[str, Any]]]) -> None:
    anna.get("/jobs/a%0Ab")
    (line,) = lines()
    assert "job" not in line
    assert line["path"] == "/jobs/a\\nb"


def test_all_that_a_runner_says_of_a_job_has_its_id(
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    monkeypatch.setattr("backend.services.build_services", lambda settings, scheduler: services)
    job = services.jobs.create("anna", Draft(graph("boom")["process"]))
    services.jobs.start("anna", job.id)
    runner = Runner(settings_in(tmp_path), "tcp://127.0.0.1:1", threading.Event())
    assert runner._turn()
    assert len(lines()) >= 2
    assert {line["job"] for line in lines()} == {job.id}
    logging.getLogger("backend").info("later")
    assert "job" not in lines()[-1]


def test_ids_add_up(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logger = logging.getLogger("backend")
    with logging_about(request="r"):
        with logging_about(job="j"):
            logger.info("both")
        logger.info("one")
    both, one = lines()
    assert (both["request"], both["job"]) == ("r", "j")
    assert "job" not in one


@pytest.mark.parametrize(
    ("logger", "error", "told"),
    [
        ("distributed.client", asyncio.CancelledError(), False),
        ("distributed.client", OSError("refused"), True),
        ("backend.jobs", asyncio.CancelledError(), True),
    ],
)
def test_what_dask_gave_up_is_no_error(logger: str, error: BaseException, told: bool) -> None:
    """A client that is closed because the scheduler is gone stops looking for it."""
    record = logging.LogRecord(logger, logging.ERROR, "", 1, "", (), (type(error), error, None))
    assert _is_no_end_of_waiting(record) == told
