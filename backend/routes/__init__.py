"""The routes, one blueprint per concern."""

from backend.routes.capabilities import blueprint as capabilities
from backend.routes.collections import blueprint as collections
from backend.routes.credentials import blueprint as credentials
from backend.routes.file_formats import blueprint as file_formats
from backend.routes.files import blueprint as files
from backend.routes.health import blueprint as health
from backend.routes.job_logs import blueprint as job_logs
from backend.routes.job_results import blueprint as job_results
from backend.routes.jobs import blueprint as jobs
from backend.routes.metrics import blueprint as metrics
from backend.routes.process_graphs import blueprint as process_graphs
from backend.routes.processes import blueprint as processes
from backend.routes.requests import blueprint as requests
from backend.routes.result import blueprint as result
from backend.routes.validation import blueprint as validation

BLUEPRINTS = (
    capabilities,
    collections,
    processes,
    file_formats,
    credentials,
    validation,
    result,
    requests,
    process_graphs,
    jobs,
    job_results,
    job_logs,
    files,
    health,
    metrics,
)
