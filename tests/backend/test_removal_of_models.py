"""A user who is removed leaves no trained models behind: nobody who is given the name later finds them."""

from __future__ import annotations

from pathlib import Path

from backend.auth.opening import open_users
from backend.removal import remove_user
from backend.settings import read_settings
from backend.state import Database
from processes.machine_learning.store import new_id, user_store


def test_models_go_with_their_user(tmp_path: Path) -> None:
    settings = read_settings({}, data=tmp_path)
    database = Database(settings.database_url)
    users = open_users(settings, database)
    for name in ("anna", "ben"):
        users.add(name, "correct horse")
        user_store(settings.ml_models_folder, name).save(new_id(), b"content", {})
    database.close()
    remove_user(settings, "anna")
    assert user_store(settings.ml_models_folder, "anna").ids() == []
    assert len(user_store(settings.ml_models_folder, "ben").ids()) == 1
