"""Stored processes with the real openEO client against the real server."""

from __future__ import annotations

import openeo
import pytest
from openeo.rest import OpenEoApiError


def test_jobs_use_the_processes_of_their_user(connection: openeo.Connection) -> None:
    x = {"name": "x", "description": "A number.", "schema": {"type": "number"}}
    graph = {"p": {"process_id": "multiply", "arguments": {"x": {"from_parameter": "x"}, "y": 10}, "result": True}}
    connection.save_user_defined_process("times-ten", graph, [x], summary="Ten times as much")
    use = {"u": {"process_id": "times-ten", "arguments": {"x": 4.5}, "result": True}}
    assert connection.execute(use) == 45
    job = connection.create_job(use).start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    assert job.get_results().get_asset().load_json() == 45
    (listed,) = connection.list_user_defined_processes()
    assert (listed["id"], "process_graph" in listed) == ("times-ten", False)
    assert connection.user_defined_process("times-ten").describe()["process_graph"] == graph
    connection.user_defined_process("times-ten").delete()
    with pytest.raises(OpenEoApiError, match="ProcessUnsupported"):
        connection.execute(use)


def test_validation_knows_the_processes_of_who_asks(connection: openeo.Connection) -> None:
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    connection.put("/process_graphs/three", json={"process_graph": graph, "parameters": []})
    use = {"u": {"process_id": "three", "arguments": {}, "result": True}}
    assert connection.validate_process_graph(use) == []
    wrong = {"u": {"process_id": "three", "arguments": {"x": 1}, "result": True}}
    assert [fault["code"] for fault in connection.validate_process_graph(wrong)] == ["ProcessParameterUnsupported"]
    connection.delete("/process_graphs/three")
    assert [fault["code"] for fault in connection.validate_process_graph(use)] == ["ProcessUnsupported"]


def test_predefined_processes_stay(connection: openeo.Connection) -> None:
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    with pytest.raises(OpenEoApiError, match="PredefinedProcessExists"):
        connection.put("/process_graphs/ndvi", json={"process_graph": graph})
