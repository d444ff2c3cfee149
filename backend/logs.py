"""Log lines: for people, or one JSON object each. No header, body, token or password ever enters one."""

from __future__ import annotations

import json
import logging
import sys
import time

# Loggers of libraries that tell at `info` what only their authors want to know.
_NOISY = (
    "distributed",
    "tornado",
    "asyncio",
    "rasterio",
    "fiona",
    "urllib3",
    "botocore",
    "gunicorn",
    "numba",
    "fsspec",
    "alembic",
)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, part, message and, when there was one, the traceback."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        """Write `record` as a line of JSON."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "part": self.part,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(part: str, log_format: str = "human", level: str = "info") -> None:
    """Send this process's log to standard error; `part` names the process in each line."""
    handler = logging.StreamHandler(sys.stderr)
    human = logging.Formatter(f"%(asctime)s {part:<9} %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter(part) if log_format == "json" else human)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _NOISY:
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.getLogger("distributed.worker").addFilter(_is_no_failed_task)
    # Warns on import of processes that we do not use.
    logging.getLogger("openeo_processes_dask").setLevel(logging.ERROR)


def _is_no_failed_task(record: logging.LogRecord) -> bool:
    """Leave out what Dask tells of failed tasks, arguments and all.

    The request's own failure reaches whoever asked; where it is a defect, the web process logs it with its traceback.
    """
    return not str(record.msg).startswith("Compute Failed")
