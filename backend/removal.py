"""Removing a user with all that is the user's: nobody who is given the name later finds it."""

from __future__ import annotations

from backend.auth.opening import open_users
from backend.files import Workspaces
from backend.graphs import SqlGraphStore
from backend.jobs.opening import open_jobs
from backend.jobs.storage import LocalStorage
from backend.settings import Settings
from backend.state import Database
from backend.user_code import remove_packages
from processes.machine_learning.store import user_store


def remove_user(settings: Settings, name: str) -> None:
    """Remove a user, the user's tokens, stored processes, batch jobs, results, files and models.

    Raises
    ------
    OpenEOError
        UserNotFound; what a removal that was interrupted has left of such a user is removed all the same.
    """
    database = Database(settings.database_url)
    users = open_users(settings, database)
    try:
        users.remove(name)  # first, so that nothing new comes meanwhile
    finally:
        SqlGraphStore(database).delete_all(name)
        storage = LocalStorage(settings.results_folder)
        for job in open_jobs(settings, database).delete_all(name):
            storage.remove(job)
        Workspaces(settings.files_folder, settings.file_bytes, settings.storage_bytes).delete_all(name)
        user_store(settings.ml_models_folder, name).delete_all()
        remove_packages(settings, name)
        database.close()
