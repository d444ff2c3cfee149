"""The web server process: gunicorn with threads, on the socket that the supervisor opened."""

from __future__ import annotations

import logging
import os
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from backend.metrics.requests import share
from backend.supervise.imports import uncollected
from backend.supervise.orders import Orders

logger = logging.getLogger("backend.supervise")

# A request that computes outlasts this: gthread workers report being alive from another thread.
SILENCE_SECONDS = 60
GRACE_SECONDS = 2


class _Log(Logger):  # type: ignore[misc]
    """Gunicorn's log as part of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _WebServer(BaseApplication):  # type: ignore[misc]
    """Gunicorn told by `Settings` instead of by files, arguments and environment."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        super().__init__()

    def load_config(self) -> None:
        settings = self._orders.settings
        values: dict[str, Any] = {
            "bind": f"fd://{self._orders.listener}",
            "worker_class": "gthread",
            "workers": settings.web_processes,
            "threads": settings.web_threads,
            "timeout": SILENCE_SECONDS,
            "graceful_timeout": GRACE_SECONDS,
            "keepalive": 5,
            "limit_request_line": 8190,
            "limit_request_fields": 60,
            "proc_name": "openeo-embed-web",
            "loglevel": "warning",
            "logger_class": _Log,
            "post_worker_init": lambda worker: logger.info("web process ready"),
        }
        if "control_socket_disable" in self.cfg.settings:  # versions that have one open it unasked
            values["control_socket_disable"] = True
        for key, value in values.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        with uncollected():
            from backend.app import create_app
            from backend.services import build_services

        return create_app(self._orders.settings, build_services(self._orders.settings, self._orders.scheduler))


def run_web(orders: Orders) -> None:
    """Serve until told to stop."""
    # Gunicorn reads these on its own; nothing but `Settings` tells this server what to do.
    os.environ.pop("GUNICORN_CMD_ARGS", None)
    os.environ.pop("WEB_CONCURRENCY", None)
    share(orders.settings.run_folder / "metrics")
    _WebServer(orders).run()
