"""Settings: one frozen object made at start, from the command line and `OPENEO_EMBED_*` variables.

The command line wins over the environment, the environment over the defaults. Nothing reads the environment later: the
supervisor hands the finished object to each process that it starts.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from backend.settings_checks import check_settings
from processes.errors import OpenEOError
from processes.fetch.rules import FetchRules

PREFIX = "OPENEO_EMBED_"
MIB = 2**20
# Variables of ours that are read elsewhere.
OTHERS = frozenset(PREFIX + name for name in ("TRACEBACK", "KERNELS", "SHARED", "TEST_POSTGRES"))


def _setting(default: Any, text: str, **bounds: Any) -> Any:
    """Declare one setting: its default, what it means, and what bounds it."""
    return field(default=default, metadata=_about(text, **bounds))


def _about(
    text: str, least: float | None = None, most: float | None = None, choices: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Describe a setting: its meaning, the smallest and largest number or the words that it takes."""
    return {"text": text, "least": least, "most": most, "choices": choices}


@dataclass(frozen=True)
class Settings:
    """What a server is told at start; `backend.settings_page` prints the meaning of each field."""

    host: str = _setting("127.0.0.1", "address that the web server listens on")
    port: int = _setting(8080, "port that the web server listens on", least=0, most=65535)
    data: Path = field(default=Path("data"), metadata=_about("folder of users, catalogue, archive, models"))
    public_url: str | None = _setting(None, "URL under which clients reach the API; default: as they asked for it")
    proxies: int = _setting(0, "reverse proxies in front whose X-Forwarded-For and -Proto are believed", least=0)
    database: str | None = _setting(
        None, "SQLAlchemy URL of the database, SQLite or PostgreSQL; default: DATA/users.sqlite"
    )
    scheduler: str | None = _setting(None, "Dask scheduler to compute on; default: started with the server")
    tls_ca_file: str | None = _setting(None, "certificate of whoever signed those of a scheduler at tls:// (PEM)")
    tls_client_cert: str | None = _setting(None, "certificate to show to a scheduler at tls:// (PEM)")
    tls_client_key: str | None = _setting(None, "private key of that certificate (PEM)")
    workers: int = _setting(0, "Dask worker processes; 0: one per core, at most 8", least=0)
    workers_most: int = _setting(0, "most Dask worker processes while tasks queue up; 0: no more than WORKERS", least=0)
    worker_silence: float = _setting(120.0, "seconds after which a worker not heard of is started again", least=5)
    gpus: int = _setting(-1, "GPUs to embed on, each with a Dask worker of its own; -1: all that there are", least=-1)
    threads: int = _setting(1, "threads of each Dask worker", least=1)
    worker_memory: str = _setting("auto", "memory of each Dask worker, such as 4GiB; auto: an equal share")
    web_processes: int = _setting(1, "web processes", least=1)
    web_threads: int = _setting(16, "requests that a web process serves at once", least=2)
    demo_user: bool = _setting(False, "let the user demo (password demo) in; only on a loopback address")
    model: str = _setting("demo", "the model that multimodal_embed uses unless told otherwise")
    log_format: str = _setting("human", "form of the log", choices=("human", "json"))
    log_level: str = _setting("info", "least level that is logged", choices=("debug", "info", "warning", "error"))
    request_bytes: int = _setting(4 * MIB, "largest request body in bytes", least=1024)
    sync_bytes: int = _setting(4096 * MIB, "most bytes of cubes that a synchronous request may load", least=1)
    sync_result_bytes: int = _setting(256 * MIB, "largest result of a synchronous request in bytes", least=1)
    sync_embeddings: int = _setting(
        4_000_000,
        "most embeddings (pixels x dates; with quality each counts as three) of a synchronous request",
        least=0,
    )
    sync_tasks: int = _setting(200_000, "most Dask tasks of a synchronous request", least=1)
    sync_seconds: float = _setting(600.0, "longest synchronous request in seconds", least=1)
    sync_concurrent: int = _setting(4, "synchronous requests that a web process computes at once", least=1)
    runners: int = _setting(2, "runner processes, each of which computes one batch job at a time", least=0)
    jobs_per_user: int = _setting(1, "batch jobs of one user that run at once", least=1)
    jobs_at_once: int = _setting(16, "batch jobs in all that run at once", least=1)
    jobs_kept: int = _setting(10_000, "most batch jobs that a user may keep", least=1)
    job_seconds: float = _setting(86_400.0, "longest run of a batch job in seconds", least=1)
    job_attempts: int = _setting(3, "times that a batch job is begun before it fails, when its runner dies", least=1)
    job_lease: float = _setting(30.0, "seconds after which a runner that was not heard of loses its job", least=2)
    job_result_bytes: int = _setting(
        4096 * MIB, "largest result of a batch job in bytes, in formats other than GTiff and netCDF", least=1
    )
    job_memory_bytes: int = _setting(
        8192 * MIB, "most memory of a runner process while it computes a batch job, in bytes", least=512 * MIB
    )
    job_tasks: int = _setting(2_000_000, "most Dask tasks of a batch job", least=1)
    link_hours: float = _setting(24.0, "lifetime of the links to the results of batch jobs in hours", least=0.01)
    file_bytes: int = _setting(1024 * MIB, "largest file that a user may upload in bytes", least=1)
    storage_bytes: int = _setting(10_240 * MIB, "room for the files and results of one user in bytes", least=1)
    fetch_hosts: str | None = _setting(
        None, "hosts that processes may read from beside public ones over https: data.lan,10.0.0.5:8080"
    )
    result_days: float = _setting(
        0.0, "days after which the results of a batch job are deleted; 0: when their user deletes them", least=0
    )
    disk_bytes: int = _setting(512 * MIB, "free bytes of the data folder's disk below which /ready says no", least=0)
    metrics_token: str | None = _setting(
        None, "token that /metrics asks for; default: none, and only this machine may read it"
    )
    udf: str = _setting(
        "auto",
        "users' code (run_udf); auto: run where the system can isolate it; unsafe: run even where it cannot",
        choices=("auto", "off", "unsafe"),
    )
    udf_memory: int = _setting(2048 * MIB, "memory of one call of users' code in bytes", least=64 * MIB)
    udf_seconds: float = _setting(
        300.0, "processor time of one call of users' code in seconds; it may take twice as long", least=1
    )
    udf_packages: str | None = _setting(
        None, "index (URL, or folder of wheels) of packages that users' code may ask for; default: none are installed"
    )
    udf_models: bool = _setting(False, "let users' code run the server's models")
    token_hours: float = _setting(24.0, "lifetime of an access token in hours", least=0.01)
    login_attempts: int = _setting(10, "failed logins per user and address before a pause", least=1)
    login_minutes: float = _setting(15.0, "length of that pause in minutes", least=0.01)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database or f"sqlite:///{self.data / 'users.sqlite'}"

    @property
    def run_folder(self) -> Path:
        """The folder of temporary files; emptied whenever a server starts."""
        return self.data / "run"

    @property
    def results_folder(self) -> Path:
        """The folder of the files that batch jobs produced."""
        return self.data / "results"

    @property
    def ml_models_folder(self) -> Path:
        """The folder of the models that users have trained and saved."""
        return self.data / "ml_models"

    @property
    def udf_packages_folder(self) -> Path:
        """The folder of the packages that were installed for users' code."""
        return self.data / "udf_packages"

    @property
    def files_folder(self) -> Path:
        """The folder of the files that users have uploaded."""
        return self.data / "files"

    @property
    def fetch_rules(self) -> FetchRules:
        """The rules under which URLs that users name may be fetched."""
        listed = [host.strip().lower() for host in (self.fetch_hosts or "").split(",")]
        try:
            return FetchRules(hosts=tuple(host for host in listed if host))
        except ValueError as error:
            raise OpenEOError("SettingInvalid", f"{PREFIX}FETCH_HOSTS is {self.fetch_hosts!r}: {error}.") from None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the web server."""
        return all(ipaddress.ip_address(address).is_loopback for address in _addresses(self.host))

    def to_json(self) -> str:
        """Write the settings for a process of ours; `from_json` reads them."""
        return json.dumps({**asdict(self), "data": str(self.data)})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "data": Path(values["data"])})


def read_settings(environ: Mapping[str, str], **flags: Any) -> Settings:
    """Make the settings of a server.

    Parameters
    ----------
    environ : mapping
        The environment's variables, of which those named ``OPENEO_EMBED_<SETTING>`` are read.
    **flags
        Settings from the command line, by field name; None means not given.

    Raises
    ------
    OpenEOError
        SettingInvalid: names the variable or option, its value and what is allowed.
    """
    values: dict[str, Any] = {}
    for item in fields(Settings):
        variable = PREFIX + item.name.upper()
        if flags.get(item.name) is not None:
            values[item.name] = _checked(item, flags[item.name], "--" + item.name.replace("_", "-"))
        elif environ.get(variable):
            values[item.name] = _checked(item, environ[variable], variable)
    values["data"] = Path(values.get("data", Path("data"))).expanduser().resolve()
    settings = Settings(**values)
    check_settings(settings)
    _ = settings.fetch_rules  # hosts that are none are an error now, not at the first URL
    return settings


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that look like settings and are none, each with what may have been meant."""
    known = [PREFIX + item.name.upper() for item in fields(Settings)]
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name not in OTHERS:
            near = difflib.get_close_matches(name, known, 1, 0.9)
            found.append(f"{name}{f' ({near[0]}?)' if near else ''}")
    return found


def settings_table() -> str:
    """Return the table of all settings as Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for item in fields(Settings):
        value = {True: 1, False: 0}[item.default] if item.type == "bool" else item.default  # type: ignore[index]
        default = "" if value is None else f"`{value}`"
        choices = ", ".join(item.metadata["choices"])
        text = item.metadata["text"] + (f" ({choices})" if choices else "")
        rows.append(f"| `{PREFIX}{item.name.upper()}` | {default} | {text} |")
    return "\n".join(rows)


def _checked(item: Field[Any], value: Any, origin: str) -> Any:
    """Convert one value to its field's type and hold it against the field's bounds."""
    kind = str(item.type)
    try:
        parsed = _parse(kind, value)
    except ValueError:
        wanted = {"int": "a whole number", "float": "a number", "bool": "1 or 0"}.get(kind, "another value")
        raise OpenEOError("SettingInvalid", f"{origin} is {value!r}; it must be {wanted}.") from None
    least, most, choices = (item.metadata[key] for key in ("least", "most", "choices"))
    if least is not None and not parsed >= least:
        raise OpenEOError("SettingInvalid", f"{origin} is {value!r}; it must be at least {least}.")
    if most is not None and not parsed <= most:
        raise OpenEOError("SettingInvalid", f"{origin} is {value!r}; it must be at most {most}.")
    if choices and parsed not in choices:
        raise OpenEOError("SettingInvalid", f"{origin} is {value!r}; it must be one of {', '.join(choices)}.")
    return parsed


def _parse(kind: str, value: Any) -> Any:
    if kind == "bool":
        return _parse_bool(value)
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    return Path(value) if kind == "Path" else str(value)


def _parse_bool(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() not in words:
        raise ValueError(value)
    return words[str(value).strip().lower()]


def _addresses(host: str) -> list[str]:
    """Return the addresses that listening on `host` opens; an empty host is all of them."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)
    except OSError:
        raise OpenEOError(
            "SettingInvalid", f"{PREFIX}HOST (--host) is {host!r}, which is no address of this machine."
        ) from None
    return [str(info[4][0]).split("%")[0] for info in found]
