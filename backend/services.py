"""The real services of a server. Importing this loads the process library; only web processes do."""

from __future__ import annotations

from functools import partial

from backend.auth.opening import open_users
from backend.cluster_address import security_of
from backend.context import Services
from backend.files import Workspaces
from backend.graphs import SqlGraphStore
from backend.graphs.engine import Engines
from backend.jobs.opening import open_jobs
from backend.jobs.storage import LocalStorage
from backend.metrics.speeds import SqlSpeeds
from backend.settings import Settings
from backend.signing import Signer, signing_key
from backend.state import Database
from backend.sync.cluster import DaskCluster
from backend.user_code import user_code_rules
from models.folders import PACKAGED
from processes.graph import GraphLimits
from processes.machine_learning.store import user_store
from processes.registry import build_registry
from processes.sources import FileCatalog
from udf import ModelShelf


def build_services(settings: Settings, scheduler: str) -> Services:
    """Make the services of one web process, which computes on the Dask scheduler at that address."""
    database = Database(settings.database_url)
    stored = SqlGraphStore(database)
    registry = build_registry()
    specs = sorted((process.spec for process in registry["predefined", None].values()), key=lambda spec: spec["id"])
    return Services(
        catalog=FileCatalog(settings.data / "catalog.json"),
        models=ModelShelf([PACKAGED, settings.data / "models"], settings.model),
        specs=lambda: specs,
        graphs=Engines(registry, stored, GraphLimits()),
        users=open_users(settings, database),
        stored=stored,
        jobs=open_jobs(settings, database),
        results=LocalStorage(settings.results_folder),
        files=Workspaces(settings.files_folder, settings.file_bytes, settings.storage_bytes),
        signer=Signer(signing_key(settings.data / "signing.key"), settings.link_hours * 3600),
        cluster=DaskCluster(scheduler, security_of(settings)),
        ml_models=partial(user_store, settings.ml_models_folder),
        fetch=settings.fetch_rules,
        udf=user_code_rules(settings),
        speeds=SqlSpeeds(database, settings.scheduler or "own"),
    )
