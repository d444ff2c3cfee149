"""Speeds: one contract for all that keep them, and what is counted as what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from backend.metrics.accounting import OTHER, by_process, measured, timings
from backend.metrics.speeds import BELIEVED, BYTES, EMBEDDINGS, MemorySpeeds, Speed, Speeds, SqlSpeeds
from backend.state import Database
from backend.sync.estimate import Estimate


@pytest.fixture(params=["memory", "database"])
def speeds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Speeds]:
    if request.param == "memory":
        yield MemorySpeeds()
        return
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield SqlSpeeds(database, "own")
    database.close()


def test_until_it_is_measured_a_speed_is_believed(speeds: Speeds) -> None:
    assert speeds.all() == {EMBEDDINGS: Speed(), BYTES: Speed()}
    for kind, believed in BELIEVED.items():
        assert Speed().per_second(kind) == believed


def test_what_is_measured_counts_more_and_more(speeds: Speeds) -> None:
    for runs in range(1, 4):
        speeds.add({EMBEDDINGS: (6000.0, 10.0)})
        assert speeds.all()[EMBEDDINGS].runs == runs
    found = speeds.all()[EMBEDDINGS]
    assert (found.total_amount, found.total_seconds) == (18_000.0, 30.0)
    assert 580 < found.per_second(EMBEDDINGS) < 600
    assert speeds.all()[BYTES] == Speed()


def test_recent_computations_weigh_most(speeds: Speeds) -> None:
    for seconds in (10.0,) * 20 + (20.0,) * 20:
        speeds.add({EMBEDDINGS: (10_000.0, seconds)})
    assert 500 < speeds.all()[EMBEDDINGS].per_second(EMBEDDINGS) < 550


@pytest.mark.parametrize("pair", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_what_tells_nothing_is_left_out(speeds: Speeds, pair: tuple[float, float]) -> None:
    speeds.add({EMBEDDINGS: pair})
    assert speeds.all()[EMBEDDINGS].runs == 0


def test_each_cluster_has_its_own_speed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    SqlSpeeds(database, "tcp://127.0.0.1:1").add({BYTES: (1e6, 1.0)})
    assert SqlSpeeds(database, "own").all()[BYTES].runs == 0
    assert SqlSpeeds(database, "tcp://127.0.0.1:1").all()[BYTES].runs == 1
    database.close()


def test_a_database_that_fails_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    with database.writing() as connection:
        connection.execute(text("DROP TABLE speeds"))
    SqlSpeeds(database, "own").add({BYTES: (1e6, 1.0)})
    assert "is not kept" in caplog.text
    database.close()


def test_time_is_that_of_the_process_that_made_the_part() -> None:
    made_by = {"aa": "load_collection", "bb": "multimodal_embed", "cc": "multimodal_embed"}
    seconds = by_process({"aa": 1.0, "bb": 2.0, "cc": 3.5, "dd": 0.25}, made_by)
    assert list(seconds.items()) == [("multimodal_embed", 5.5), ("load_collection", 1.0), (OTHER, 0.25)]
    assert "multimodal_embed 5.5 s, load_collection 1.0 s" in timings(seconds)


def test_embeddings_and_all_else_are_measured_apart() -> None:
    cost = Estimate(0, 4000, 0, 300, 7)
    assert measured(cost, {"multimodal_embed": 3.0, "ndvi": 1.0, OTHER: 0.5}) == {
        EMBEDDINGS: (300, 3.0),
        BYTES: (4000, 1.5),
    }
    none = Estimate(0, 4000, 0, 0, 7)
    assert measured(none, {"ml_predict": 2.0}) == {EMBEDDINGS: (0, 0.0), BYTES: (4000, 2.0)}


def test_an_estimate_is_work_by_speed_by_threads() -> None:
    cost = Estimate(0, 40_000_000, 0, 6000, 7)
    believed = MemorySpeeds().all()
    assert cost.seconds(believed, 1) == pytest.approx(6000 / 300 + 2.0)
    assert cost.seconds(believed, 4) == pytest.approx((6000 / 300 + 2.0) / 4)
