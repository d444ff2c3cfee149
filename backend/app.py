"""The web application: routes, error form and headers put together. It is given addresses and starts nothing."""

from __future__ import annotations

from threading import BoundedSemaphore

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from backend.context import KEY, Context, Services
from backend.errors import install_errors
from backend.headers import collapse_slashes, install_headers
from backend.metrics.requests import RequestMeters
from backend.rooms import Room
from backend.routes import BLUEPRINTS
from backend.settings import Settings
from backend.settings_checks import PLANNING
from backend.sync.logs import RequestLogs


def create_app(settings: Settings, services: Services) -> Flask:
    """Return the WSGI application of one server.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    services : Services
        Catalogue, processes, users and cluster that the routes use.
    """
    app = Flask("backend", static_folder=None, template_folder=None)
    meters = RequestMeters()
    slots, logs = BoundedSemaphore(settings.sync_concurrent), RequestLogs(settings.run_folder / "logs")
    app.extensions[KEY] = Context(settings, services, slots, logs, Room(PLANNING, "checks"), meters)
    app.config["MAX_CONTENT_LENGTH"] = settings.request_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    install_errors(app)
    install_headers(app)
    meters.install(app)
    app.wsgi_app = collapse_slashes(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        # Address and scheme only: every proxy sets these two, while a client could smuggle in a host or a prefix.
        hops = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, 0, 0, 0)  # type: ignore[method-assign]
    return app
