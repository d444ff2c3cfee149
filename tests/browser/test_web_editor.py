"""What web editors do, in a real browser: all requests cross origins, answers are drawn by the editor's components."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.backend.server import Server
from tests.browser import Page, PageError, open_page

GRAPH = {
    "load": {
        "process_id": "load_collection",
        "arguments": {
            "id": "SENTINEL2_L2A",
            "spatial_extent": None,
            "temporal_extent": ["2022-06-01", "2022-06-20"],
            "bands": ["B04", "B08"],
        },
    },
    "reduce": {
        "process_id": "reduce_dimension",
        "arguments": {
            "data": {"from_node": "load"},
            "dimension": "t",
            "reducer": {
                "process_graph": {
                    "median": {
                        "process_id": "median",
                        "arguments": {"data": {"from_parameter": "data"}},
                        "result": True,
                    }
                }
            },
        },
    },
    "index": {"process_id": "ndvi", "arguments": {"data": {"from_node": "reduce"}}},
}


def process(format: str) -> dict[str, Any]:
    arguments = {"data": {"from_node": "index"}, "format": format}
    return {"process_graph": {**GRAPH, "save": {"process_id": "save_result", "arguments": arguments, "result": True}}}


@pytest.fixture(scope="module")
def page(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, logged in."""
    with open_page(tmp_path_factory.mktemp("browser")) as page:
        page.run(
            """
            connection = await OpenEO.connect(given);
            const [basic] = await connection.listAuthProviders();
            await basic.login("demo", "demo");
            """,
            server.url,
        )
        yield page


@pytest.fixture
def sound(page: Page) -> Iterator[Page]:
    """The page, on which nothing goes wrong."""
    page.run("failures.length = 0")
    yield page
    assert page.run("return failures") == []


@pytest.mark.parametrize(
    ("format", "type"),
    [("PNG", "image/png"), ("GTiff", "image/tiff"), ("JSON", "application/json"), ("netCDF", "application/x-netcdf")],
)
def test_results_and_their_logs(sound: Page, format: str, type: str) -> None:
    """The type is of a GeoTIFF, too, what the editor chooses its viewer by; logs need a header of another origin."""
    done = sound.run(
        """
        const result = await connection.computeResult(given);
        return {type: result.data.type, size: result.data.size, logs: result.logs.map(entry => entry.message)};
        """,
        process(format),
    )
    assert done["type"].startswith(type)
    assert done["size"] > 1000
    assert any("Computed" in message for message in done["logs"])


def test_errors_reach_the_page(page: Page) -> None:
    wrong = process("PNG")
    wrong["process_graph"] = {**wrong["process_graph"], "index": {"process_id": "ndwi_", "arguments": {}}}
    with pytest.raises(PageError, match="ndwi_") as raised:
        page.run("await connection.computeResult(given)", wrong)
    assert raised.value.told["code"] == "ProcessUnsupported"
    assert raised.value.told["id"]
    told = page.run("return await connection.validateProcess(given)", wrong)
    assert "ProcessUnsupported" in [error["code"] for error in told]


def test_a_wrong_password_reaches_the_page(page: Page, server: Server) -> None:
    log_in = """
        const other = await OpenEO.connect(given);
        const [basic] = await other.listAuthProviders();
        await basic.login("demo", "wrong");
    """
    with pytest.raises(PageError) as raised:
        page.run(log_in, server.url)
    assert raised.value.told["code"] == "CredentialsInvalid"


def test_a_job_from_beginning_to_end(sound: Page) -> None:
    sound.run("job = await connection.createJob(given, 'From a browser', 'Made **there**')", process("GTiff"))
    text = sound.run("return draw('openeo-job-estimate', {estimate: await job.estimateJob()}, 'Runtime')")
    assert "File size" in text
    statuses = sound.run(
        """
        await job.startJob();
        const seen = [];
        await new Promise((resolve, reject) => {
            const stop = job.monitorJob((now, logs) => {
                seen.push(now.status);
                if (["finished", "error", "canceled"].includes(now.status)) { stop(); resolve(); }
            }, 1);
        });
        return seen;
        """
    )
    assert statuses[-1] == "finished"
    logs = sound.run("return draw('openeo-logs', {logs: await (await job.debugJob()).nextLogs()}, 'Finished')")
    assert "begun" in logs
    # Its own graph is drawn with it.
    text = sound.run("return draw('openeo-job', {job: (await job.describeJob()).toJSON()}, 'save_result')")
    assert "From a browser" in text
    assert "Results of the job" in text
    text = sound.run("return draw('openeo-collection', {data: await job.getResultsAsStac()}, 'Transformation Matrix')")
    assert "result.tif" in text
    assert "EPSG:" in text


def test_files_of_results_are_read_in_parts_without_a_login(sound: Page) -> None:
    """The editor's map reads GeoTIFF files so."""
    part = sound.run(
        """
        const results = await job.getResultsAsStac();
        const answer = await fetch(results.assets["result.tif"].href, {headers: {Range: "bytes=0-99"}});
        const {byteLength} = await answer.arrayBuffer();
        return [answer.status, byteLength, answer.headers.get("Content-Range")];
        """
    )
    assert part[:2] == [206, 100]
    assert part[2].startswith("bytes 0-99/")


def test_jobs_are_changed_and_deleted(sound: Page) -> None:
    """PATCH and DELETE are methods that browsers ask the server about first."""
    made = "const made = await connection.createJob(given, 'first');"
    changed = "await made.updateJob({title: 'second'}); const {title} = await made.describeJob();"
    deleted = "await made.deleteJob(); return [title, (await connection.listJobs()).map(job => job.id), made.id];"
    title, left, id = sound.run(made + changed + deleted, process("JSON"))
    assert title == "second"
    assert id not in left


def test_files_and_processes_are_stored(sound: Page) -> None:
    files = sound.run(
        """
        const file = await connection.getFile("fields/a b.json");
        await file.uploadFile(new File(["{}"], "a.json"));
        const there = (await connection.listFiles()).map(file => file.path);
        await file.deleteFile();
        return [there, (await connection.listFiles()).map(file => file.path)];
        """
    )
    assert files == [["fields/a b.json"], []]
    processes = sound.run(
        """
        const stored = await connection.setUserProcess("browser_ndvi", given);
        const there = (await connection.listUserProcesses()).map(process => process.id);
        await stored.deleteUserProcess();
        return [there, (await connection.listUserProcesses()).map(process => process.id)];
        """,
        process("PNG"),
    )
    assert processes[0] == [*processes[1], "browser_ndvi"]


def test_every_process_is_drawn(sound: Page) -> None:
    count = sound.run(
        """
        const {processes} = await connection.listProcesses();
        for (const process of processes) {
            await draw("openeo-process", {process, "show-graph": "true"}, "Return Value");
            if (failures.length) throw new Error(`${process.id}: ${failures}`);
        }
        return processes.length;
        """
    )
    assert count > 100


def test_collections_formats_and_runtimes_are_drawn(sound: Page) -> None:
    text = sound.run(
        "return draw('openeo-collection', {data: await connection.describeCollection(given)}, 'Bands')", "SENTINEL2_L2A"
    )
    assert "B8A" in text
    read = "const read = async path => (await fetch(connection.getUrl() + path)).json();"
    formats = "return draw('openeo-file-formats', {formats: await read('file_formats')}, 'Parquet')"
    assert "netCDF" in sound.run(read + formats)
    runtimes = "return draw('openeo-udf-runtimes', {runtimes: await read('udf_runtimes')}, 'Python')"
    assert "3." in sound.run(read + runtimes)


def test_a_graph_is_drawn(sound: Page) -> None:
    """With the titles of the server's own processes and collections."""
    text = sound.run(
        """
        const {processes} = await connection.listProcesses();
        const {collections} = await connection.listCollections();
        const properties = {id: "graph", height: "500px", value: given, processes, collections};
        return draw("openeo-model-builder", properties, "save_result");
        """,
        process("PNG"),
    )
    assert all(name in text for name in ("SENTINEL2_L2A", "reduce_dimension", "ndvi"))
    assert "median" in text
