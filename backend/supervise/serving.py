"""One server from its settings: takes the data folder, settles the demo user, opens the socket, runs the supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from backend.auth import DEMO
from backend.auth.opening import open_users
from backend.settings import Settings
from backend.state import Database
from backend.state.serving import only_server
from backend.supervise.supervisor import Supervisor, listen
from models.folders import PACKAGED, ModelNotFound
from processes.errors import OpenEOError
from udf.model_shelf import ModelShelf

logger = logging.getLogger("backend.supervise")


def serve_forever(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until told to stop; `on_ready` is called with the URL once the server can compute.

    Raises
    ------
    OpenEOError
        The data folder or the database is in use, the address is not to be had, the model is not there, or the demo
        user would be open to the network.
    """
    _check_model(settings)
    with (
        _data_folder(settings),
        _database(settings),
        _demo_user(settings),
        listen(settings.host, settings.port) as listener,
    ):
        port = listener.getsockname()[1]
        url = settings.public_url or f"http://{_in_url(settings.host)}:{port}/"
        if not settings.is_loopback:
            logger.warning("passwords and tokens travel unencrypted; put a reverse proxy with TLS in front")
        Supervisor(settings, listener, os.environ).run(lambda: on_ready(url))


def _check_model(settings: Settings) -> None:
    """Refuse a model that is not there: else each embedding would fail, and the server would look well."""
    try:
        ModelShelf([PACKAGED, settings.data / "models"], settings.model).get(None)
    except ModelNotFound as error:
        message = f"OPENEO_EMBED_MODEL (--model) is {settings.model!r}: {error} See `openeo-embed model list`."
        raise OpenEOError("SettingInvalid", message) from None


@contextlib.contextmanager
def _data_folder(settings: Settings) -> Iterator[None]:
    """Take the data folder for this server alone, and clear what an earlier one left in `run`."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        lock = (settings.data / ".serve.lock").open("w")
    except OSError as error:
        message = f"The data folder {settings.data} cannot be written to: {error.strerror}. Choose another --data."
        raise OpenEOError("StorageFailure", message) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Another server is using the data folder {settings.data}; stop it or choose another --data."
            raise OpenEOError("StorageFailure", message) from None
        shutil.rmtree(settings.run_folder, ignore_errors=True)
        settings.run_folder.mkdir(mode=0o700)
        try:
            yield
        finally:
            shutil.rmtree(settings.run_folder, ignore_errors=True)


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[None]:
    """Take the database for this server alone."""
    with contextlib.closing(Database(settings.database_url)) as database, only_server(database):
        yield


@contextlib.contextmanager
def _demo_user(settings: Settings) -> Iterator[None]:
    """Let the demo user exist while a server that wants it listens on loopback, and never otherwise."""
    users = open_users(settings)
    if not settings.is_loopback:
        _refuse_demo(settings.demo_user, DEMO in users.names(), settings.host)
        users.close()
        yield
        return
    users.set_demo(settings.demo_user)
    try:
        yield
    finally:
        try:
            users.set_demo(False)
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", error)
            logger.warning("the demo user is still there, and goes with the next start: %s", reason)
        users.close()


def _refuse_demo(wanted: bool, present: bool, host: str) -> None:
    why = f"The demo user, whose password everybody knows, would be open to the network at {host}"
    if wanted:
        raise OpenEOError("DemoUserRefused", f"{why}: leave out --demo-user, or listen on 127.0.0.1.")
    if present:
        raise OpenEOError("DemoUserRefused", f"{why}: run `openeo-embed user remove {DEMO}` first.")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
