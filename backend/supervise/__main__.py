"""`python -m backend.supervise scheduler|workers|runner|web`: one child of `openeo-embed serve`."""

from __future__ import annotations

import logging
import sys

from backend.logs import configure_logging
from backend.supervise.parent import take_orders


def main(role: str) -> None:
    """Take orders and be the scheduler, the workers, a runner or the web server."""
    orders = take_orders()
    configure_logging(role, orders.settings.log_format, orders.settings.log_level)
    if role == "scheduler":
        from backend.supervise.scheduler import run_scheduler as run
    elif role == "workers":
        from backend.supervise.workers import run_workers as run
    elif role == "runner":
        from backend.supervise.runner import run_runner as run
    elif role == "web":
        from backend.supervise.web import run_web as run
    else:
        sys.exit(f"there is no role {role!r}")
    try:
        run(orders)
    except Exception:
        logging.getLogger("backend.supervise").exception("%s failed", role)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
