"""The routes, one blueprint per concern."""

from backend.routes.capabilities import blueprint as capabilities
from backend.routes.collections import blueprint as collections
from backend.routes.credentials import blueprint as credentials
from backend.routes.file_formats import blueprint as file_formats
from backend.routes.health import blueprint as health
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
    health,
)
