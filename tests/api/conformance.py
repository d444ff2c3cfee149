"""The page docs/conformance.md: `python -m tests.api.conformance > docs/conformance.md` writes it, a test compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tests.spec.make_openapi import FACTS

METHODS = ("get", "post", "put", "patch", "delete")
# Of each operation that is served, tests of its own. All of them are in the loops of `EVERYWHERE` besides.
TESTS: dict[str, tuple[str, ...]] = {
    "GET /": ("tests/backend/test_discovery.py::test_capabilities_list_exactly_the_routes",),
    "GET /.well-known/openeo": ("tests/backend/test_discovery.py::test_public_url_is_used_in_links",),
    "GET /file_formats": ("tests/backend/test_discovery.py::test_file_formats_are_the_tables_that_read_and_write",),
    "GET /conformance": ("tests/backend/test_discovery.py::test_capabilities_say_what_is_served",),
    "GET /collections": ("tests/backend/test_discovery.py::test_collections_ignore_limit_and_leave_out_what_is_long",),
    "GET /collections/{collection_id}": ("tests/backend/test_discovery.py::test_collection_is_complete",),
    "GET /collections/{collection_id}/queryables": (
        "tests/backend/test_discovery.py::test_queryables_describe_what_can_be_filtered",
    ),
    "GET /processes": ("tests/backend/test_discovery.py::test_processes_udf_runtimes_and_service_types",),
    "GET /udf_runtimes": ("tests/api/test_spec.py::test_documents",),
    "GET /service_types": ("tests/api/test_web_editor_needs.py::test_types_of_services_are_an_object",),
    "GET /credentials/basic": ("tests/backend/test_auth.py::test_both_forms_of_the_token_are_taken",),
    "GET /me": ("tests/backend/test_file_routes.py::test_the_quota_is_told_and_held",),
    "POST /validation": ("tests/backend/validation/test_faults.py::test_all_faults_are_found_not_the_first",),
    "POST /result": ("tests/backend/test_result.py::test_save_result_chooses_the_format",),
    "GET /process_graphs": ("tests/backend/test_file_routes.py::test_storing_a_process",),
    "GET /process_graphs/{process_graph_id}": ("tests/backend/test_file_routes.py::test_storing_a_process",),
    "PUT /process_graphs/{process_graph_id}": (
        "tests/api/test_web_editor_needs.py::test_process_ids_have_dashes_and_those_in_bodies_do_not_count",
    ),
    "DELETE /process_graphs/{process_graph_id}": ("tests/backend/test_file_routes.py::test_storing_a_process",),
    "GET /jobs": ("tests/backend/test_job_routes.py::test_jobs_are_listed_in_pages",),
    "POST /jobs": ("tests/backend/test_job_routes.py::test_a_new_job",),
    "GET /jobs/{job_id}": ("tests/backend/test_job_routes.py::test_a_new_job",),
    "PATCH /jobs/{job_id}": ("tests/backend/test_job_routes.py::test_changing_a_job",),
    "DELETE /jobs/{job_id}": ("tests/backend/test_job_routes.py::test_a_deleted_job_is_gone_with_its_files",),
    "GET /jobs/{job_id}/estimate": ("tests/backend/test_job_routes.py::test_estimates_compute_nothing",),
    "GET /jobs/{job_id}/logs": ("tests/backend/test_job_routes.py::test_logs",),
    "GET /jobs/{job_id}/results": (
        "tests/backend/test_job_routes.py::test_results_are_a_collection_whose_links_open_for_anyone",
    ),
    "POST /jobs/{job_id}/results": ("tests/api/test_jobs.py::test_a_job_from_creation_to_deletion",),
    "DELETE /jobs/{job_id}/results": ("tests/api/test_jobs.py::test_queued_jobs_can_be_canceled",),
    "GET /files": ("tests/backend/test_file_routes.py::test_upload_list_download_delete",),
    "GET /files/{path}": ("tests/backend/test_file_routes.py::test_upload_list_download_delete",),
    "PUT /files/{path}": ("tests/api/test_files.py::test_uploads_are_streamed",),
    "DELETE /files/{path}": ("tests/backend/test_file_routes.py::test_upload_list_download_delete",),
}
EVERYWHERE = (
    "tests/api/test_fuzz.py::test_operations",
    "tests/api/test_isolation.py::test_strangers_reach_nothing",
    "tests/api/test_isolation.py::test_other_users_reach_nothing",
    "tests/api/test_web_editor_needs.py::test_preflights_of_every_route_need_no_login",
    "tests/backend/test_errors.py::test_every_route_refuses_other_methods_in_the_openeo_form",
)
PAGE = """# Conformance with the openEO API 1.2.0

Of the {all} operations of the API {served} are served. The others belong to features that the API makes optional, and
`GET /` does not list them. `python -m tests.api.conformance` writes this page; a test holds it against the routes of
the server and the tests that it names.

| operation | served | tests |
|---|---|---|
{rows}

Each operation is also asked for by the tests that go through all of them: {everywhere}. What the openEO Web Editor and
the Python client need beside the API's text is in `tests/api/test_web_editor_needs.py`;
`tests/browser/test_web_editor.py` has the editor's own JavaScript client and components work with the server, in
Chromium.
The answers' schemas are compared with the API's description in `tests/api/test_fuzz.py`, `tests/api/test_spec.py` and
`tests/api/test_jobs.py`.
"""


def operations() -> Iterator[str]:
    """Yield all operations of the API, such as ``GET /jobs``."""
    paths = json.loads(FACTS.read_text(encoding="utf-8"))["document"]["paths"]
    for path, methods in paths.items():
        yield from (f"{method.upper()} {path}" for method in METHODS if method in methods)


def page() -> str:
    """Return the page."""
    found = list(operations())
    rows = "\n".join(f"| `{one}` | {'yes' if one in TESTS else 'no'} | {_shown(TESTS.get(one, ()))} |" for one in found)
    everywhere = ", ".join(f"`{test}`" for test in EVERYWHERE)
    return PAGE.format(all=len(found), served=len(TESTS), rows=rows, everywhere=everywhere)


def _shown(tests: tuple[str, ...]) -> str:
    return ", ".join(f"`{test.removeprefix('tests/')}`" for test in tests)


if __name__ == "__main__":
    sys.stdout.write(page())
